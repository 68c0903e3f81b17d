// The path of a pane: places to go back to, and a field to type another.
import { useLayoutEffect, useRef, useState } from './vendor/hooks.js'
import { parent, place, typed, written } from './places.js'
import { t } from './text.js'
import { Button, html, Icon } from './ui.js'

function Typing({ pane, label, onDone }) {
  const field = useRef()
  const done = () => {
    field.current.closest('.pane').querySelector('[role=grid]').focus() // before the field goes, and the focus with it
    onDone()
  }
  useLayoutEffect(() => field.current.select(), [])
  const submit = e => {
    e.preventDefault()
    pane.open(typed(pane.side, pane.path, field.current.value))
    done()
  }
  return html`<form class="crumbs typing" onSubmit=${submit}><input ref=${field} defaultValue=${written(pane.side, pane.path)} aria-label=${t('gui.files.type', { side: label })}
    spellcheck="false" autocomplete="off" autocapitalize="none" onBlur=${onDone} onKeyDown=${e => {
      if (e.key !== 'Escape') return
      e.stopPropagation()
      done()
    }} /></form>`
}

export function Crumbs({ pane, label }) {
  const [typing, setTyping] = useState(false)
  const begin = place(pane.side, pane.path)
  if (typing) return html`<${Typing} pane=${pane} label=${label} onDone=${() => setTyping(false)} />`
  const crumbs = pane.known ? pane.list.crumbs : []
  const deep = begin.root === '/' ? 0 : begin.root.split('/').length - 1
  const all = [{ path: begin.root, name: begin.name }, ...crumbs.slice(deep)]
  return html`<nav class="crumbs" aria-label=${t('gui.files.path', { side: label })}>
    <${Button} short icon="arrow-up" kind="quiet" label=${t('gui.files.up')} disabled=${pane.path === '/'} onClick=${() => pane.open(parent(pane.path))} />
    ${all.map((c, i) => html`${i > 0 && html`<span class="sep" aria-hidden="true">›</span>`}<a href="#" aria-current=${i === all.length - 1 ? 'location' : undefined} onClick=${e => {
      e.preventDefault()
      pane.open(c.path)
    }}>${i === 0 && html`<${Icon} name=${begin.icon} />`}<bdi>${c.name}</bdi></a>`)}
    <span class="grow" onClick=${() => setTyping(true)}></span>
    <${Button} short icon="text-cursor" kind="quiet" class="button quiet type-path" label=${t('gui.files.type', { side: label })} onClick=${() => setTyping(true)} /></nav>`
}
