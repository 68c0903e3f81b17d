// One side's folder: what stands there, what is chosen, and the frame around
// its list.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { Crumbs } from './crumbs.js'
import { Grid } from './grid.js'
import { isHidden, join, mime, typeOf } from './places.js'
import { notice, set, setHidden, state, tell, useStore } from './store.js'
import { lang, n, size, t } from './text.js'
import { Button, html, Trouble } from './ui.js'

const refreshEvery = 3000
const weight = { folder: 0, link: 1, file: 1, other: 2 }

function compare(by, desc) {
  const collator = new Intl.Collator(lang(), { numeric: true, sensitivity: 'base' })
  const name = (x, y) => collator.compare(x.name, y.name) || (x.key < y.key ? -1 : 1)
  const order = {
    name, size: (x, y) => x.size - y.size || name(x, y), mtime: (x, y) => x.mtime - y.mtime || name(x, y),
    type: (x, y) => collator.compare(typeOf(x).words, typeOf(y).words) || name(x, y),
  }[by]
  return (x, y) => weight[x.kind] - weight[y.kind] || (desc ? -order(x, y) : order(x, y))
}

// away reports whether a problem is that the server cannot be reached.
export const away = problem => problem?.kind === 'network' || problem?.kind === 'unavailable'

// usePane holds one side, which shows the folder path; open goes to another.
export function usePane(side, path, open) {
  const s = useStore()
  const [list, setList] = useState(null)
  const [space, setSpace] = useState({ free: 0, total: 0 })
  const [problem, setProblem] = useState(null)
  const [chosen, setChosen] = useState(new Set())
  const [sort, setSort] = useState({ by: 'name', desc: false })
  const [filter, setFilter] = useState('')
  const [at, setAt] = useState(0)
  const [sizes, setSizes] = useState(new Map()) // of folders, by path
  const [sought, setSought] = useState(null) // an entry that is to be chosen once its folder is shown
  const [found, setFound] = useState(null) // what of that was chosen last
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
        const own = side === 'remote' && asked.path === '/'
        if (own) set({ shared: a.entries.some(e => e.key === '@shared') })
        const entries = own ? a.entries.filter(e => e.key !== '@shared') : a.entries // it has a place of its own
        setList({ path: asked.path, tag: a.tag, entries, crumbs: a.crumbs, cut: a.cut })
        const keys = new Set(entries.map(e => e.key))
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
      const begun = performance.now()
      if (document.visibilityState === 'visible') await load()
      const took = performance.now() - begun // a folder that is slow to read is read less often
      if (!stop) timer = setTimeout(round, Math.min(Math.max(refreshEvery, 4 * took), 4 * refreshEvery))
    }
    round()
    return () => {
      stop = true
      clearTimeout(timer)
    }
  }, [path])
  useLayoutEffect(() => {
    setChosen(new Set())
    setFilter('')
    setAt(0)
    setProblem(null)
  }, [path])
  const all = list?.path === path ? list.entries : []
  const entries = useMemo(() => {
    const want = filter.toLowerCase()
    return all.filter(e => (s.hidden || !isHidden(e)) && (want === '' || e.name.toLowerCase().includes(want))).sort(compare(sort.by, sort.desc))
  }, [list, path, sort, filter, s.hidden, lang()])
  useLayoutEffect(() => {
    if (sought?.path !== path || list?.path !== path) return
    const i = entries.findIndex(e => e.key === sought.key)
    if (i >= 0) {
      setChosen(new Set([sought.key]))
      setAt(i)
      setFound(sought)
    }
    setSought(null)
  }, [sought, entries])
  const find = (folder, key) => {
    setFilter('')
    setSought({ path: folder, key })
    open(folder)
  }
  // point chooses one entry and brings it into sight.
  const point = key => {
    setChosen(new Set([key]))
    setAt(entries.findIndex(e => e.key === key))
    setFound({ key })
  }
  const picked = useMemo(() => chosen.size === 0 ? [] : entries.filter(e => chosen.has(e.key)), [entries, chosen])
  const hidden = useMemo(() => all.filter(isHidden).length, [list, path])
  const count = async e => {
    const p = join(path, e.key)
    const tell = v => setSizes(old => new Map(old).set(p, v))
    tell({})
    try {
      tell(await post('size', { side, paths: [p] }))
    } catch (why) {
      setSizes(old => new Map([...old].filter(([k]) => k !== p)))
      throw why
    }
  }
  return {
    side, path, open, load, find, found, point, list, entries, picked, space, problem, chosen, setChosen, sort, setSort, filter, setFilter, sizes, count,
    hiding: s.hidden ? 0 : hidden, at: Math.min(at, Math.max(entries.length - 1, 0)), setAt,
    known: list?.path === path, away: side === 'remote' && (away(problem) || Boolean(s.lost)),
  }
}

// Pane draws one side. acts are what keys and menus do; onDrop takes what is
// dropped.
export function Pane({ pane, label, acts, menu, onDrop, onSearch, takesFiles, children }) {
  const s = useStore()
  const [over, setOver] = useState('')
  const here = () => state.side === pane.side || set({ side: pane.side }) // the keys act there
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
  const sum = pane.picked.reduce((x, e) => x + (e.kind === 'file' ? e.size : 0), 0)
  const empty = pane.filter ? t('gui.files.nothing') : takesFiles ? t('gui.files.empty.remote') : t('gui.files.empty')
  const told = pane.known ? n('gui.files.count', pane.entries.length) : ''
  return html`<section class=${`pane ${pane.side}` + (over === pane.path ? ' over' : '') + (s.side === pane.side ? ' here' : '')} aria-label=${label} onPointerDownCapture=${here} onFocusCapture=${here}
      onDragOver=${dragOver} onDragLeave=${e => e.currentTarget.contains(e.relatedTarget) || setOver('')} onDrop=${drop}>
    <div class="pane-top"><h2>${label}</h2>
      <form role="search" aria-label=${t('gui.files.filter', { side: label })} onSubmit=${e => {
        e.preventDefault()
        if (pane.filter) onSearch(pane.filter)
      }}><label class="filter"><span class="hidden">${t('gui.files.filter', { side: label })}</span>
        <input type="search" value=${pane.filter} placeholder=${t('gui.files.filter.short')} onInput=${e => {
          pane.setFilter(e.target.value)
          pane.setAt(0)
        }} spellcheck="false" /></label>
        ${pane.filter && html`<${Button} icon="search" kind="quiet" type="submit" label=${t('gui.search.button')} title=${t('gui.search.hint')} />`}</form></div>
    <${Crumbs} pane=${pane} label=${label} />
    ${children}
    ${!away(pane.problem) && html`<${Trouble} problem=${pane.problem} />`}
    <div class="list"><${Grid} pane=${pane} label=${label} acts=${acts} menu=${menu} over=${over} />
    ${pane.entries.length === 0 && (pane.known || pane.away) && !(pane.problem && !pane.away) && html`<p class="empty">${pane.known ? empty : t('gui.files.later')}</p>`}</div>
    <p class="foot"><span role="status">${pane.away && pane.known ? t('gui.files.last') : pane.picked.length > 0 ? n('gui.files.chosen', pane.picked.length, { size: size(sum) }) : told}
      ${pane.list?.cut ? ' ' + t('gui.files.cut') : ''}</span>
      ${(pane.hiding > 0 || s.hidden) && html`<button type="button" class="as-link" aria-pressed=${s.hidden ? 'true' : 'false'} onClick=${() => setHidden(!s.hidden)}>${s.hidden ? t('gui.files.hide') : n('gui.files.unhide', pane.hiding)}</button>`}
      <span class="grow"></span><span>${pane.space.total > 0 && t('gui.files.free', { free: size(pane.space.free), total: size(pane.space.total) })}</span></p>
  </section>`
}

// tellFailed tells what came of removing or moving some names.
export function tellFailed(failed) {
  if (failed.length > 5) notice('error', t('gui.more', { n: failed.length - 5 }))
  for (const p of failed.slice(0, 5)) notice('error', p.what, p.fix)
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
