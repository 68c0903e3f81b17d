// The pieces that screens are made of. Names from outside only ever become
// text nodes and attributes; there is no markup from data anywhere.
import { h } from './vendor/preact.js'
import { useEffect, useLayoutEffect, useRef, useState } from './vendor/hooks.js'
import htm from './vendor/htm.js'
import { t } from './text.js'

export const html = htm.bind(h)

const shapes = {
  folder: 'M2 5a2 2 0 0 1 2-2h4l2 2h6a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2z',
  file: 'M5 2h6l4 4v10a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V4a2 2 0 0 1 2-2zm6 0v4h4',
  link: 'M8 12l4-4M7 9l-2 2a2.8 2.8 0 0 0 4 4l2-2M13 11l2-2a2.8 2.8 0 0 0-4-4L9 7',
  other: 'M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm0 4v4m0 3v.2',
  up: 'M10 16V5M5 10l5-5 5 5',
  plus: 'M10 4v12M4 10h12',
  edit: 'M4 16l1-4 8-8 3 3-8 8zM11 6l3 3',
  trash: 'M4 6h12M8 6V4h4v2M6 6l1 11h6l1-11',
  info: 'M10 9v5m0-8v.2M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15z',
  send: 'M3 10h13M11 5l5 5-5 5',
  fetch: 'M17 10H4M9 5l-5 5 5 5',
  upload: 'M10 13V3M6 7l4-4 4 4M3 13v4h14v-4',
  pause: 'M7 4v12M13 4v12',
  play: 'M6 4l10 6-10 6z',
  retry: 'M15.5 7A6.5 6.5 0 1 0 16.5 11M16 3v4h-4',
  close: 'M5 5l10 10M15 5L5 15',
  lock: 'M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9',
  unlock: 'M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 5.8-1',
  check: 'M4 10.5l4 4 8-9',
  cross: 'M5 5l10 10M15 5L5 15',
  home: 'M3 10l7-6 7 6M5 9v8h10V9',
  move: 'M3 6h7l2 2h5v8H3zM8 12h5m-2-2l2 2-2 2',
}

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false"><path d=${shapes[name] || shapes.other} /></svg>`

export function Button({ icon, label, onClick, kind = '', disabled = false, type = 'button', short = false, ...rest }) {
  return html`<button type=${type} class=${'button ' + kind} onClick=${onClick} disabled=${disabled}
    aria-label=${short ? label : undefined} title=${short ? label : undefined} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${!short && html`<span>${label}</span>`}</button>`
}

// useBusy runs one thing at a time and keeps what went wrong.
export function useBusy() {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState(null)
  const alive = useRef(true)
  useEffect(() => () => { alive.current = false }, [])
  const run = async work => {
    setBusy(true)
    setProblem(null)
    try {
      return await work()
    } catch (e) {
      if (alive.current) setProblem(e)
    } finally {
      if (alive.current) setBusy(false)
    }
  }
  return { busy, problem, run, setProblem }
}

export const Trouble = ({ problem, children }) => problem && html`
  <div class="trouble" role="alert"><strong>${problem.what || problem.message}</strong>${problem.fix && html`<p>${problem.fix}</p>`}${children}</div>`

// Dialog is a window over the page: the browser keeps the focus inside and
// gives it back.
export function Dialog({ title, onClose, children, wide = false }) {
  const ref = useRef()
  useLayoutEffect(() => {
    const d = ref.current
    const back = document.activeElement
    d.showModal()
    return () => {
      d.close()
      back?.focus?.()
    }
  }, [])
  const cancel = e => {
    e.preventDefault()
    onClose()
  }
  return html`<dialog ref=${ref} class=${wide ? 'wide' : ''} aria-labelledby="dialog-title" onCancel=${cancel}>
    <h2 id="dialog-title">${title}</h2>${children}</dialog>`
}

export function Confirm({ title, text, names = [], yes, danger = false, onYes, onClose }) {
  const { busy, problem, run } = useBusy()
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${text}</p>
    ${names.length > 0 && html`<ul class="names">${names.slice(0, 8).map(x => html`<li><bdi>${x}</bdi></li>`)}
      ${names.length > 8 && html`<li>${t('gui.more', { n: names.length - 8 })}</li>`}</ul>`}
    <${Trouble} problem=${problem} />
    <div class="buttons">
      <${Button} label=${t('gui.cancel')} onClick=${onClose} autofocus />
      <${Button} label=${yes} kind=${danger ? 'danger' : 'primary'} disabled=${busy} onClick=${() => run(onYes)} />
    </div></${Dialog}>`
}

export function Prompt({ title, label, value = '', yes, onYes, onClose }) {
  const [text, setText] = useState(value)
  const { busy, problem, run, setProblem } = useBusy()
  const input = useRef()
  useLayoutEffect(() => { // at once, or it would undo what somebody quick has chosen
    const dot = value.lastIndexOf('.')
    input.current.focus()
    input.current.setSelectionRange(0, dot > 0 ? dot : value.length)
  }, [])
  const submit = e => {
    e.preventDefault()
    if (text.includes('/')) setProblem({ what: t('gui.name.slash'), fix: t('gui.name.slash.fix') })
    else if (text) run(() => onYes(text))
  }
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      <label class="field"><span>${label}</span>
        <input ref=${input} value=${text} onInput=${e => setText(e.target.value)} maxlength="255" spellcheck="false" autocomplete="off" /></label>
      <${Trouble} problem=${problem} />
      <div class="buttons"><${Button} label=${t('gui.cancel')} onClick=${onClose} />
        <${Button} label=${yes} kind="primary" type="submit" disabled=${busy || !text} /></div>
    </form></${Dialog}>`
}

export const Bar = ({ done, total, label, kind = '' }) => {
  const share = total > 0 ? Math.min(1, done / total) : 0
  return html`<div class=${'bar ' + kind} role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${String(Math.floor(share * 100))}><div class="fill" style=${{ transform: `scaleX(${share})` }}></div></div>`
}

export const Rows = ({ of }) => html`<dl class="facts">${of.filter(([, v]) => v || v === 0).map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl>`
