// Preview: what is in a file, without a program of its own. A text is one text node. An image has
// been decoded and encoded again by the program; here it is drawn, never opened as a document.
import { useEffect, useLayoutEffect, useRef, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { join, typeOf } from './places.js'
import { size, t, time } from './text.js'
import { Button, Dialog, html, Icon, Trouble } from './ui.js'

function bytes(base64) {
  const text = atob(base64)
  const all = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) all[i] = text.charCodeAt(i)
  return all
}

function Picture({ of, name, onProblem }) {
  const canvas = useRef()
  useEffect(() => {
    let late = false
    createImageBitmap(new Blob([bytes(of.png)], { type: 'image/png' })).then(image => {
      if (!late) {
        canvas.current.width = image.width
        canvas.current.height = image.height
        canvas.current.getContext('2d').drawImage(image, 0, 0)
        canvas.current.dataset.drawn = 'yes'
      }
      image.close()
    }).catch(e => late || onProblem(e))
    return () => { late = true }
  }, [of])
  return html`<canvas ref=${canvas} width="1" height="1" role="img" aria-label=${name}></canvas>`
}

function Seen({ of, entry, onProblem }) {
  if (of.kind === 'image') return html`<${Picture} of=${of} name=${entry.name} onProblem=${onProblem} />`
  if (of.kind === 'text' && of.text) return html`<pre tabindex="0" role="group" aria-label=${entry.name}>${of.text}</pre>`
  if (of.kind === 'text') return html`<p class="nothing">${t('gui.preview.empty')}</p>`
  return html`<div class="nothing"><${Icon} name=${typeOf(entry).icon} /><p><strong>${t('gui.preview.none')}</strong></p><p>${t('gui.preview.none.' + of.why)}</p></div>`
}

// Preview shows the file key of a pane; go shows another one of the same folder.
export function Preview({ pane, path, at, go, send, sendWords, sendIcon, onClose }) {
  const files = pane.path === path ? pane.entries.filter(e => e.kind === 'file') : []
  const i = files.findIndex(e => e.key === at)
  const last = useRef()
  if (i >= 0) last.current = { entry: files[i], i }
  const [seen, setSeen] = useState(null)
  const [problem, setProblem] = useState(null)
  const [turn, setTurn] = useState(0)
  const entry = last.current?.entry
  const shape = useRef('') // the kind of what was shown last: the window keeps its size while the next one is read
  const read = useRef('') // what seen was read from
  useEffect(() => {
    const from = JSON.stringify([at, entry?.size, entry?.mtime, turn])
    if (seen && read.current === from) return // the connection was lost or is back: it is still the same file
    setSeen(null)
    setProblem(pane.away ? { what: t('gui.why.away') } : null)
    if (!entry || pane.away) return
    const stop = new AbortController()
    const fit = x => Math.ceil(x * devicePixelRatio)
    post('preview', { side: pane.side, path: join(path, at), width: fit(innerWidth), height: fit(innerHeight) }, stop.signal)
      .then(of => { read.current = from; setSeen(of) }, e => stop.signal.aborted || setProblem(e))
    return () => stop.abort()
  }, [at, entry?.size, entry?.mtime, pane.away, turn])
  useEffect(() => { if (!entry || pane.path !== path) onClose() }, [pane.path])
  const box = useRef()
  useLayoutEffect(() => { // the text that had the focus may be gone
    if (document.activeElement === document.body) box.current?.focus()
  })
  if (!entry) return null
  const undrawn = () => {
    setSeen(null)
    setProblem({ what: t('gui.preview.undrawn') })
  }
  const here = i >= 0 ? i : last.current.i - 0.5 // it was removed: between its neighbors
  const before = files[Math.ceil(here) - 1]
  const after = files[Math.floor(here) + 1]
  const key = e => {
    if (e.altKey || e.ctrlKey || e.metaKey) return
    const text = e.currentTarget.querySelector('pre')
    const to = { ArrowRight: after, ArrowDown: after, ArrowLeft: before, ArrowUp: before }
    const pages = { PageDown: 0.9, PageUp: -0.9, Home: -1e6, End: 1e6 }
    if (e.target === text && e.key !== 'ArrowRight' && e.key !== 'ArrowLeft') return // it scrolls by itself
    if (e.key in to) to[e.key] && go(to[e.key].key)
    else if (e.key in pages) text?.scrollBy(0, pages[e.key] * text.clientHeight)
    else if (e.key === ' ' && !e.target.closest('button')) onClose()
    else return
    e.preventDefault()
  }
  const facts = [
    typeOf(entry).words, size(entry.size), seen?.kind === 'image' && t('gui.preview.pixels', { width: seen.width, height: seen.height }), time(entry.mtime),
    i >= 0 && files.length > 1 && t('gui.preview.position', { n: i + 1, total: files.length }),
  ].filter(Boolean)
  if (seen) shape.current = seen.kind
  return html`<${Dialog} kind=${'preview' + (shape.current === 'text' ? ' text' : '')} title=${html`<bdi>${entry.name}</bdi>`} onClose=${onClose} onKeyDown=${key}>
    <div class="seen" ref=${box} tabindex="-1" autofocus aria-live="polite" aria-busy=${seen || problem ? 'false' : 'true'}>${seen ? html`<${Seen} key=${at} of=${seen} entry=${entry} onProblem=${undrawn} />`
      : problem ? html`<${Trouble} problem=${problem}><div class="buttons"><${Button} icon="rotate-cw" label=${t('gui.retry')} onClick=${() => setTurn(turn + 1)} /></div></${Trouble}>`
      : html`<p class="nothing" role="status">${t('gui.prop.reading')}</p>`}</div>
    <p class="hint facts-line">${facts.map(f => html`<span>${f}</span>`)}</p>
    <div class="buttons"><${Button} icon="chevron-left" class="button step" label=${t('gui.preview.previous')} aria-label=${t('gui.preview.before')} why=${before ? '' : t('gui.preview.first')} onClick=${() => go(before.key)} />
      <${Button} icon="chevron-right" class="button step" label=${t('gui.preview.next')} aria-label=${t('gui.preview.after')} why=${after ? '' : t('gui.preview.last')} onClick=${() => go(after.key)} /><span class="grow"></span>
      <${Button} icon=${sendIcon} label=${sendWords} onClick=${() => { onClose(); send(at) }} />
      <${Button} kind="primary" label=${t('gui.close')} onClick=${onClose} /></div></${Dialog}>`
}
