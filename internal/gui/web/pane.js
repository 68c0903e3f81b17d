// One side's list of files: a grid that draws only the rows in sight, so that a
// hundred thousand names cost no more than twenty.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { notice, tell } from './store.js'
import { lang, n, size, t, time } from './text.js'
import { Button, html, Icon, Trouble } from './ui.js'

const rowHeight = 32
const refreshEvery = 3000
export const mime = 'application/x-hufu-names'

export const join = (folder, key) => (folder === '/' ? '' : folder) + '/' + key
export const parent = path => path.replace(/\/[^/]*$/, '') || '/'

const weight = { folder: 0, link: 1, file: 1, other: 2 }

function compare(by, desc) {
  const collator = new Intl.Collator(lang(), { numeric: true, sensitivity: 'base' })
  const name = (x, y) => collator.compare(x.name, y.name) || (x.key < y.key ? -1 : 1)
  const order = { name, size: (x, y) => x.size - y.size || name(x, y), mtime: (x, y) => x.mtime - y.mtime || name(x, y) }[by]
  return (x, y) => weight[x.kind] - weight[y.kind] || (desc ? -order(x, y) : order(x, y))
}

// usePane holds one side: where it is, what stands there, what is chosen.
export function usePane(side, begin) {
  const [path, setPath] = useState(begin)
  const [list, setList] = useState(null)
  const [space, setSpace] = useState({ free: 0, total: 0 })
  const [problem, setProblem] = useState(null)
  const [chosen, setChosen] = useState(new Set())
  const [sort, setSort] = useState({ by: 'name', desc: false })
  const [filter, setFilter] = useState('')
  const [at, setAt] = useState(0)
  const now = useRef({})
  now.current = { path, tag: list?.path === path ? list.tag : '' }

  const load = async () => {
    const asked = now.current
    try {
      const a = await post('list', { side, path: asked.path, tag: asked.tag })
      if (now.current.path !== asked.path) return
      setSpace({ free: a.free, total: a.total })
      setProblem(null)
      if (a.entries) {
        setList({ path: asked.path, tag: a.tag, entries: a.entries, crumbs: a.crumbs, cut: a.cut })
        const keys = new Set(a.entries.map(e => e.key))
        setChosen(old => [...old].every(k => keys.has(k)) ? old : new Set([...old].filter(k => keys.has(k))))
      }
    } catch (e) {
      if (now.current.path === asked.path) setProblem(e)
    }
  }
  useEffect(() => {
    let stop = false
    let timer
    const round = async () => {
      if (document.visibilityState === 'visible') await load()
      if (!stop) timer = setTimeout(round, refreshEvery)
    }
    round()
    return () => {
      stop = true
      clearTimeout(timer)
    }
  }, [path])
  const open = to => {
    setPath(to)
    setChosen(new Set())
    setFilter('')
    setAt(0)
    setProblem(null)
  }
  const entries = useMemo(() => {
    const want = filter.toLowerCase()
    const all = (list?.path === path ? list.entries : []).filter(e => want === '' || e.name.toLowerCase().includes(want))
    return all.sort(compare(sort.by, sort.desc))
  }, [list, path, sort, filter, lang()])
  const picked = entries.filter(e => chosen.has(e.key))
  return { side, path, open, load, list, entries, picked, space, problem, chosen, setChosen, sort, setSort, filter, setFilter, at: Math.min(at, Math.max(entries.length - 1, 0)), setAt }
}

function Crumbs({ pane, roots, home }) {
  const crumbs = pane.list?.path === pane.path ? pane.list.crumbs : []
  const label = pane.side === 'local' ? t('gui.files.local') : t('gui.files.remote')
  // Below the home folder the path begins there: what lies above it is of no use.
  const deep = home && home !== '/' && (pane.path === home || pane.path.startsWith(home + '/')) ? home.split('/').length - 1 : 0
  const homeButton = home && html`<${Button} short icon="home" kind="quiet" label=${t('gui.files.home')} aria-current=${deep > 0 && deep === crumbs.length ? 'location' : undefined} onClick=${() => pane.open(home)} />`
  return html`<nav class="crumbs" aria-label=${t('gui.files.path', { side: label })}>
    ${deep === 0 && homeButton}
    ${roots.map(r => html`<a href="#" onClick=${e => {
      e.preventDefault()
      pane.open(r)
    }}>${r === '/' ? (pane.side === 'remote' ? t('gui.files.mine') : '/') : r.slice(1)}</a>`)}
    ${deep > 0 && homeButton}
    ${crumbs.map((c, i) => i >= deep && html`<span aria-hidden="true">›</span><a href="#" aria-current=${i === crumbs.length - 1 ? 'location' : undefined} onClick=${e => {
      e.preventDefault()
      pane.open(c.path)
    }}><bdi>${c.name}</bdi></a>`)}</nav>`
}

const columns = () => [['name', t('gui.files.name')], ['size', t('gui.files.size')], ['mtime', t('gui.files.time')]]

const Head = ({ pane }) => html`<div role="rowgroup" class="head"><div role="row" aria-rowindex="1">
  ${columns().map(([by, label]) => html`<div role="columnheader" class=${'cell ' + by}
    aria-sort=${pane.sort.by === by ? (pane.sort.desc ? 'descending' : 'ascending') : 'none'}>
    <button type="button" onClick=${() => pane.setSort({ by, desc: pane.sort.by === by && !pane.sort.desc })}>${label}
      <span aria-hidden="true">${pane.sort.by === by ? (pane.sort.desc ? ' ↓' : ' ↑') : ''}</span></button></div>`)}
</div></div>`

// Pane draws one side. acts are what the keys do; onDrop takes what is dropped.
export function Pane({ pane, label, roots, home, acts, onDrop, takesFiles, children }) {
  const { entries, chosen, at } = pane
  const box = useRef()
  const [view, setView] = useState({ top: 0, height: 600 })
  const [over, setOver] = useState('')
  const anchor = useRef(0)
  const typed = useRef({ text: '', at: 0 })
  const id = i => `${pane.side}-row-${i}`

  useLayoutEffect(() => {
    const look = () => setView({ top: box.current.scrollTop, height: box.current.clientHeight })
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
    else acts.properties()
  }
  const seek = letter => {
    const now = Date.now()
    typed.current = { text: (now - typed.current.at < 800 ? typed.current.text : '') + letter.toLowerCase(), at: now }
    const i = entries.findIndex(e => e.name.toLowerCase().startsWith(typed.current.text))
    if (i >= 0) move(i, {})
  }
  const key = e => {
    if (e.target !== box.current) return
    const ctrl = e.ctrlKey || e.metaKey
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 2)
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: entries.length - 1 }
    if (e.key in moves) move(moves[e.key], { shift: e.shiftKey, ctrl })
    else if (e.key === ' ') toggle(at)
    else if (e.key === 'Enter') enter(entries[at])
    else if (e.key === 'Backspace') pane.path !== '/' && pane.open(parent(pane.path))
    else if (e.key === 'a' && ctrl) pane.setChosen(new Set(entries.map(x => x.key)))
    else if (e.key === 'Escape') pane.setChosen(new Set())
    else if (e.key === 'Delete') acts.remove()
    else if (e.key === 'F2') acts.rename()
    else if (e.key === 'F5') acts.copy()
    else if (e.key.length === 1 && !ctrl && !e.altKey) seek(e.key)
    else return
    e.preventDefault()
  }
  const click = (e, i) => {
    if (e.shiftKey) move(i, { shift: true })
    else if (e.ctrlKey || e.metaKey) toggle(i)
    else move(i, {})
    box.current.focus({ preventScroll: true })
  }

  const takes = e => e.dataTransfer.types.includes(mime) || takesFiles && e.dataTransfer.types.includes('Files')
  const target = e => {
    const row = e.target.closest?.('[data-folder]')
    return row ? join(pane.path, row.dataset.folder) : pane.path
  }
  const dragOver = e => {
    if (!takes(e)) return
    e.preventDefault()
    e.stopPropagation()
    e.dataTransfer.dropEffect = e.dataTransfer.types.includes(mime) && e.dataTransfer.effectAllowed !== 'copy' ? 'move' : 'copy'
    setOver(target(e))
  }
  const drop = e => {
    setOver('')
    if (!takes(e)) return
    e.preventDefault()
    e.stopPropagation()
    onDrop(e.dataTransfer, target(e))
  }
  const dragStart = (e, entry) => {
    const some = chosen.has(entry.key) ? pane.picked : [entry]
    e.dataTransfer.setData(mime, JSON.stringify({ side: pane.side, folder: pane.path, keys: some.map(x => x.key) }))
    e.dataTransfer.effectAllowed = 'copyMove'
  }

  const first = Math.max(0, Math.floor(view.top / rowHeight) - 8)
  const last = Math.min(entries.length, Math.ceil((view.top + view.height) / rowHeight) + 8)
  const sum = pane.picked.reduce((x, e) => x + e.size, 0)
  return html`<section class=${'pane' + (over === pane.path ? ' over' : '')} aria-label=${label}
      onDragOver=${dragOver} onDragLeave=${e => e.currentTarget.contains(e.relatedTarget) || setOver('')} onDrop=${drop}>
    <div class="pane-top"><h2>${label}</h2>
      <label class="filter"><span class="hidden">${t('gui.files.filter', { side: label })}</span>
        <input type="search" value=${pane.filter} placeholder=${t('gui.files.filter.short')} onInput=${e => {
          pane.setFilter(e.target.value)
          pane.setAt(0)
        }} spellcheck="false" /></label></div>
    <${Crumbs} pane=${pane} roots=${roots} home=${home} />
    <div class="tools">${children}</div>
    <${Trouble} problem=${pane.problem} />
    ${pane.problem && entries.length > 0 && html`<p class="away" role="status">${t('gui.files.away')}</p>`}
    <div role="grid" class=${'grid' + (pane.problem ? ' stale' : '')} tabindex="0" ref=${box} aria-label=${t('gui.files.grid', { side: label })} aria-multiselectable="true"
        aria-rowcount=${String(entries.length + 1)} aria-activedescendant=${entries.length > 0 && at >= first && at < last ? id(at) : undefined}
        onKeyDown=${key} onScroll=${() => setView({ top: box.current.scrollTop, height: box.current.clientHeight })}>
      <${Head} pane=${pane} />
      <div role="rowgroup" class="rows" style=${{ height: `${entries.length * rowHeight}px` }}>
        ${entries.slice(first, last).map((e, k) => html`<div role="row" key=${e.key} id=${id(first + k)} aria-rowindex=${String(first + k + 2)}
            class=${'row' + (first + k === at ? ' at' : '') + (e.kind === 'folder' && over === join(pane.path, e.key) ? ' over' : '')}
            aria-selected=${chosen.has(e.key) ? 'true' : 'false'} draggable="true" data-name=${e.name} data-folder=${e.kind === 'folder' ? e.key : undefined}
            style=${{ transform: `translateY(${(first + k) * rowHeight}px)` }}
            onClick=${ev => click(ev, first + k)} onDblClick=${() => enter(e)} onDragStart=${ev => dragStart(ev, e)}>
          <div role="gridcell" class="cell name"><${Icon} name=${e.kind} /><span class="hidden">${t('gui.kind.' + e.kind)}</span><bdi title=${e.name}>${e.name}</bdi>${e.target && html`<span class="to">→ <bdi>${e.target}</bdi></span>`}</div>
          <div role="gridcell" class="cell size">${e.kind === 'file' ? size(e.size) : ''}</div>
          <div role="gridcell" class="cell mtime">${time(e.mtime)}</div></div>`)}
      </div>
    </div>
    ${entries.length === 0 && pane.list?.path === pane.path && !pane.problem && html`<p class="empty">${pane.filter ? t('gui.files.nothing') : takesFiles ? t('gui.files.empty.remote') : t('gui.files.empty')}</p>`}
    <p class="foot" role="status"><span>${pane.picked.length > 0 ? n('gui.files.chosen', pane.picked.length, { size: size(sum) }) : pane.list?.path === pane.path ? n('gui.files.count', entries.length) : ''}
      ${pane.list?.cut ? ' ' + t('gui.files.cut') : ''}</span>
      <span>${pane.space.total > 0 && t('gui.files.free', { free: size(pane.space.free), total: size(pane.space.total) })}</span></p>
  </section>`
}

// tellFailed tells what came of removing or moving some names.
export function tellFailed(failed) {
  for (const p of failed.slice(0, 5)) notice('error', p.what, p.fix)
  if (failed.length > 5) notice('error', t('gui.more', { n: failed.length - 5 }))
}

export async function moveAll(side, from, keys, to) {
  for (const k of keys) {
    if (join(from, k) === to) continue
    try {
      await post('rename', { side, path: join(from, k), to: join(to, k) })
    } catch (e) {
      tell(e)
    }
  }
}
