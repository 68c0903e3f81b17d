// The pieces that screens are made of. Names from outside only ever become
// text nodes and attributes; there is no markup from data anywhere.
import { h } from './vendor/preact.js'
import { useEffect, useLayoutEffect, useRef, useState } from './vendor/hooks.js'
import htm from './vendor/htm.js'
import { around, focusNear } from './focus.js'
import { notice } from './store.js'
import { t } from './text.js'

export const html = htm.bind(h)

// Icon draws one of Lucide's icons; the words beside it say what it means.
export const Icon = ({ name }) =>
  html`<svg class="icon" aria-hidden="true" focusable="false"><use href=${'/web/vendor/lucide.svg#' + name} /></svg>`

// Button is a button. If why is not empty, the button is gray, and pressing it shows why.
export function Button({ icon, label, onClick, kind = '', disabled = false, type = 'button', short = false, why = '', ...rest }) {
  return html`<button type=${type} class=${'button ' + kind} onClick=${why ? () => notice('info', why) : onClick} disabled=${disabled}
    aria-disabled=${why ? 'true' : undefined} aria-label=${short ? label : undefined} title=${why || (short ? label : undefined)} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${!short && html`<span>${label}</span>`}</button>`
}

// Menu is a list of actions at a point of the window. An item is a name, what
// it does, its icon, and why it cannot be done now; null is a line between.
export function Menu({ at, items, label, onClose }) {
  const ref = useRef()
  useLayoutEffect(() => {
    const back = around(document.activeElement)
    const m = ref.current
    m.style.left = Math.max(4, Math.min(at.x, innerWidth - m.offsetWidth - 4)) + 'px'
    m.style.top = Math.max(4, Math.min(at.y, innerHeight - m.offsetHeight - 4)) + 'px'
    m.querySelector('button')?.focus()
    const away = e => m.contains(e.target) || onClose()
    window.addEventListener('pointerdown', away)
    window.addEventListener('blur', onClose)
    window.addEventListener('resize', onClose)
    return () => {
      window.removeEventListener('pointerdown', away)
      window.removeEventListener('blur', onClose)
      window.removeEventListener('resize', onClose)
      focusNear(back)
    }
  }, [])
  const key = e => {
    const all = [...ref.current.querySelectorAll('button')]
    const i = all.indexOf(document.activeElement)
    const to = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: all.length - 1 }[e.key]
    e.stopPropagation()
    if (to !== undefined) all[(to + all.length) % all.length].focus()
    else if (e.key === 'Escape' || e.key === 'Tab') onClose()
    else return
    e.preventDefault()
  }
  return html`<div class="menu" role="menu" aria-label=${label} ref=${ref} onKeyDown=${key}>${items.map(x => x === null ? html`<hr />` : html`
    <button type="button" role="menuitem" class=${x.danger ? 'danger-quiet' : ''} aria-disabled=${x.why ? 'true' : undefined} title=${x.why || undefined} onClick=${() => {
      onClose()
      x.why ? notice('info', x.why) : x.act()
    }}><${Icon} name=${x.icon} /><span>${x.name}</span>${x.key && html`<kbd>${x.key}</kbd>`}</button>`)}</div>`
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
export function Dialog({ title, onClose, children, wide = false, kind = '', onKeyDown }) {
  const ref = useRef()
  useLayoutEffect(() => {
    const d = ref.current
    const back = around(document.activeElement)
    d.showModal()
    return () => {
      d.close()
      focusNear(back)
    }
  }, [])
  const cancel = e => {
    e.preventDefault()
    onClose()
  }
  return html`<dialog ref=${ref} class=${wide ? 'wide' : kind} aria-labelledby="dialog-title" onCancel=${cancel} onKeyDown=${onKeyDown}>
    <h2 id="dialog-title">${title}</h2>${children}</dialog>`
}

// Confirm asks a question. Enter answers it with yes, unless that may destroy something.
export function Confirm({ title, text, yes, no, danger = false, onYes, onClose }) {
  const { busy, problem, run } = useBusy()
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${text}</p>
    <${Trouble} problem=${problem} />
    <div class="buttons">
      <${Button} label=${no} onClick=${onClose} autofocus=${danger} />
      <${Button} label=${yes} kind=${danger ? 'danger' : 'primary'} autofocus=${!danger} disabled=${busy} onClick=${() => run(onYes)} />
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
