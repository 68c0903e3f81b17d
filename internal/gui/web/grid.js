// The list of a pane: a grid that draws only the rows in sight, so that a
// hundred thousand names cost no more than twenty.
import { useEffect, useLayoutEffect, useRef, useState } from './vendor/hooks.js'
import { join, mime, parent, typeOf } from './places.js'
import { size, t, time } from './text.js'
import { html, Icon } from './ui.js'

// A finger needs more room than a mouse.
const touch = matchMedia('(pointer: coarse)').matches
const rowHeight = touch ? 44 : 34

const columns = () => [['name', t('gui.files.name')], ['type', t('gui.files.type.column')], ['size', t('gui.files.size')], ['mtime', t('gui.files.time')]]

// Name is a name; if it is long, its end stays in sight when there is no room for all of it.
function Name({ of }) {
  const parts = /^(.{6,})(.{4}\.[A-Za-z0-9]{1,8})$/su.exec(of)
  return html`<bdi title=${of}>${parts ? html`<span class="begin">${parts[1]}</span><span class="end">${parts[2]}</span>` : of}</bdi>`
}

// All is the tick of all rows: it selects them, or none if they are selected.
function All({ pane }) {
  const { entries, picked } = pane
  const [checked, icon] = picked.length === 0 ? ['false', 'square'] : picked.length === entries.length ? ['true', 'square-check'] : ['mixed', 'square-minus']
  return html`<button type="button" role="checkbox" class="all" aria-checked=${checked} aria-label=${t('gui.files.all')} title=${t('gui.files.all')} disabled=${entries.length === 0}
    onClick=${() => pane.setChosen(new Set(checked === 'true' ? [] : entries.map(e => e.key)))}><span class="tick"><${Icon} name=${icon} /></span></button>`
}

const Head = ({ pane }) => html`<div role="rowgroup" class="head"><div role="row" aria-rowindex="1">
  ${columns().map(([by, label]) => html`<div role="columnheader" class=${'cell ' + by}
    aria-sort=${pane.sort.by === by ? (pane.sort.desc ? 'descending' : 'ascending') : 'none'}>
    ${by === 'name' && html`<${All} pane=${pane} />`}<button type="button" onClick=${() => pane.setSort({ by, desc: pane.sort.by === by && !pane.sort.desc })}>${label}
      <span aria-hidden="true">${pane.sort.by === by ? (pane.sort.desc ? ' ↓' : ' ↑') : ''}</span></button></div>`)}
</div></div>`

function weight(pane, e) {
  if (e.kind === 'file') return size(e.size)
  const s = pane.sizes.get(join(pane.path, e.key))
  if (!s) return ''
  return s.bytes === undefined ? '…' : (s.whole ? '' : '> ') + size(s.bytes)
}

export function Grid({ pane, label, acts, menu, over }) {
  const { entries, chosen, at } = pane
  const box = useRef()
  const [view, setView] = useState({ top: 0, height: 600 })
  const anchor = useRef(0)
  const sought = useRef({ text: '', at: 0 })
  const id = i => `${pane.side}-row-${i}`
  const look = () => setView({ top: box.current.scrollTop, height: box.current.clientHeight })

  useLayoutEffect(() => {
    const watch = new ResizeObserver(look)
    watch.observe(box.current)
    return () => watch.disconnect()
  }, [])
  useEffect(() => {
    box.current.scrollTop = 0
    anchor.current = 0
  }, [pane.path])

  const show = i => {
    const top = i * rowHeight
    const b = box.current
    if (top < b.scrollTop) b.scrollTop = top
    else if (top + 2 * rowHeight > b.scrollTop + b.clientHeight) b.scrollTop = top + 2 * rowHeight - b.clientHeight
  }
  useEffect(() => {
    if (pane.found) show(at)
  }, [pane.found])
  const range = (from, to) => new Set(entries.slice(Math.min(from, to), Math.max(from, to) + 1).map(e => e.key))
  const move = (to, { shift, ctrl }) => {
    to = Math.max(0, Math.min(entries.length - 1, to))
    if (shift) pane.setChosen(range(anchor.current, to))
    else if (!ctrl) {
      pane.setChosen(new Set(entries[to] ? [entries[to].key] : []))
      anchor.current = to
    }
    pane.setAt(to)
    show(to)
  }
  const toggle = i => {
    const next = new Set(chosen)
    const k = entries[i]?.key
    if (!next.delete(k) && k) next.add(k)
    pane.setChosen(next)
    anchor.current = i
    pane.setAt(i)
  }
  const enter = e => {
    if (!e) return
    if (e.kind === 'folder') pane.open(join(pane.path, e.key))
    else if (e.kind === 'file') acts.preview(e)
    else acts.properties()
  }
  const seek = letter => {
    const now = performance.now() // a clock that nobody sets
    sought.current = { text: (now - sought.current.at < 800 ? sought.current.text : '') + letter.toLowerCase(), at: now }
    const i = entries.findIndex(e => e.name.toLowerCase().startsWith(sought.current.text))
    if (i >= 0) move(i, {})
  }
  // pointAt chooses a row for a menu, unless it is among the chosen ones.
  const pointAt = i => {
    if (i >= 0 && entries[i] && !chosen.has(entries[i].key)) move(i, {})
  }
  const key = e => {
    if (e.target !== box.current) return
    const ctrl = e.ctrlKey || e.metaKey
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 2)
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: entries.length - 1 }
    if (e.key in moves && !e.altKey) move(moves[e.key], { shift: e.shiftKey, ctrl })
    else if (e.key === ' ') toggle(at)
    else if (e.key === 'Enter' && e.altKey) acts.properties()
    else if (e.key === 'Enter') enter(entries[at])
    else if (e.key === 'Backspace') pane.path !== '/' && pane.open(parent(pane.path))
    else if (e.key === 'a' && ctrl) pane.setChosen(new Set(entries.map(x => x.key)))
    else if (e.key === 'l' && ctrl) box.current.closest('.pane').querySelector('.type-path')?.click()
    else if (e.key === 'Escape') {
      pane.setChosen(new Set())
      sought.current.text = ''
    }
    else if (e.key === 'Delete') acts.remove()
    else if (e.key === 'F2') acts.rename()
    else if (e.key === 'F5') acts.askCopy()
    else if (e.key === 'ContextMenu' || e.key === 'F10' && e.shiftKey) {
      pointAt(at)
      const r = (document.getElementById(id(at)) || box.current).getBoundingClientRect()
      menu(r.x + 40, r.y + Math.min(r.height, rowHeight), entries.length > 0)
    } else if (e.key.length === 1 && e.key !== '?' && !ctrl && !e.altKey) seek(e.key)
    else return
    e.preventDefault()
  }
  const click = (e, i) => {
    if (e.shiftKey) move(i, { shift: true })
    else if (e.ctrlKey || e.metaKey || e.target.closest('.tick')) toggle(i)
    else if (touch && entries[i].kind === 'folder') enter(entries[i])
    else move(i, {})
    box.current.focus({ preventScroll: true })
  }
  const context = e => {
    e.preventDefault()
    const i = Number(e.target.closest('.row')?.getAttribute('aria-rowindex') ?? 0) - 2
    pointAt(i)
    if (i < 0) pane.setChosen(new Set())
    box.current.focus({ preventScroll: true })
    if (e.clientX > 0) menu(e.clientX, e.clientY, i >= 0)
  }
  const dragStart = (e, entry) => {
    const some = chosen.has(entry.key) ? pane.picked : [entry]
    e.dataTransfer.setData(mime, JSON.stringify({ side: pane.side, folder: pane.path, keys: some.map(x => x.key) }))
    e.dataTransfer.effectAllowed = 'copyMove'
  }
  const first = Math.max(0, Math.floor(view.top / rowHeight) - 8)
  const last = Math.min(entries.length, Math.ceil((view.top + view.height) / rowHeight) + 8)
  const Row = (e, i) => {
    const type = typeOf(e)
    const picked = chosen.has(e.key)
    return html`<div role="row" key=${e.key} id=${id(i)} aria-rowindex=${String(i + 2)}
        class=${'row' + (i === at ? ' at' : '') + (e.kind === 'folder' && over === join(pane.path, e.key) ? ' over' : '')}
        aria-selected=${picked ? 'true' : 'false'} draggable="true" data-name=${e.name} data-folder=${e.kind === 'folder' ? e.key : undefined}
        style=${{ transform: `translateY(${i * rowHeight}px)` }} onClick=${ev => click(ev, i)} onDblClick=${ev => ev.target.closest('.tick') || enter(e)} onDragStart=${ev => dragStart(ev, e)}>
      <div role="gridcell" class="cell name"><span class="tick" aria-hidden="true"><${Icon} name=${picked ? 'square-check' : 'square'} /></span><span class=${'kind ' + e.kind}><${Icon} name=${type.icon} /></span>
        <span class="hidden">${t('gui.kind.' + e.kind)}</span><${Name} of=${e.name} />${e.target && html`<span class="to">→ <bdi>${e.target}</bdi></span>`}</div>
      <div role="gridcell" class="cell type">${type.words}</div>
      <div role="gridcell" class="cell size">${weight(pane, e)}</div>
      <div role="gridcell" class="cell mtime" title=${time(e.mtime, true)}>${time(e.mtime)}</div></div>`
  }
  return html`<div role="grid" class=${'grid' + (pane.away ? ' stale' : '')} tabindex="0" ref=${box} aria-label=${t('gui.files.grid', { side: label })} aria-multiselectable="true"
      aria-busy=${pane.known || pane.problem ? undefined : 'true'} style=${{ '--row': rowHeight + 'px' }}
      aria-rowcount=${String(entries.length + 1)} aria-activedescendant=${entries.length > 0 && at >= first && at < last ? id(at) : undefined}
      onKeyDown=${key} onScroll=${look} onContextMenu=${context}>
    <${Head} pane=${pane} />
    <div role="rowgroup" class="rows" style=${{ height: `${entries.length * rowHeight}px` }}>
      ${entries.slice(first, last).map((e, k) => Row(e, first + k))}</div></div>`
}
