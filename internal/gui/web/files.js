// Files: this computer and the server side by side, and what can be done there.
import { useEffect, useRef, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { Folder, Properties, Remove, typable } from './dialogs.js'
import { collect, spool } from './drop.js'
import { moveAll, Pane, tellFailed, usePane } from './pane.js'
import { escape, join, last, mime, trail, written } from './places.js'
import { Preview } from './preview.js'
import { Search } from './search.js'
import { notice, set, tell, useStore, visit } from './store.js'
import { n, t } from './text.js'
import { Button, Confirm, html, Menu, Prompt } from './ui.js'

export function Files() {
  const s = useStore()
  const local = usePane('local', s.at.local, path => visit('local', path))
  const remote = usePane('remote', s.at.remote, path => visit('remote', path))
  // What a transfer has brought shows at once.
  const ended = s.jobs.filter(j => j.ended).map(j => j.id + j.ended).join()
  useEffect(() => {
    local.load()
    remote.load()
  }, [ended])
  const [ask, setAsk] = useState(null)
  const [menu, setMenu] = useState(null)
  const [seen, setSeen] = useState(null) // the file that is previewed
  const files = useRef()
  const folder = useRef()
  const close = () => setAsk(null)
  const other = pane => pane.side === 'local' ? remote : local

  const transfer = async (from, folder, keys, to) => {
    if (keys.length === 0) return
    try {
      await post('jobs', { op: from === 'local' ? 'put' : 'get', sources: keys.map(k => join(folder, k)), to })
      if (!s.drawer) notice('info', n(from === 'local' ? 'gui.job.put' : 'gui.job.get', keys.length, { folder: last(from === 'local' ? 'remote' : 'local', to) }))
    } catch (e) {
      tell(e)
    }
  }
  const upload = (list, to) => spool(list, to).catch(tell)
  const drop = pane => async (data, to) => {
    const names = data.getData(mime)
    if (!names) return upload(collect(data), to)
    const { side, folder, keys } = JSON.parse(names)
    if (side !== pane.side) return transfer(side, folder, keys, to)
    if (folder === to) return
    await moveAll(side, folder, keys, to)
    pane.load()
  }
  const chooser = e => {
    const list = [...e.target.files].map(file => ({ path: file.webkitRelativePath || file.name, file }))
    e.target.value = ''
    if (list.length > 0) upload(Promise.resolve(list), remote.path)
  }

  const actsOf = pane => ({
    copy: () => transfer(pane.side, pane.path, pane.picked.map(e => e.key), other(pane).path),
    // A browser has another meaning for the key that sends: it asks first.
    askCopy: () => {
      if (pane.picked.length === 0) return notice('info', t('gui.why.none'))
      const put = pane.side === 'local'
      const keys = pane.picked.map(e => e.key)
      const { path } = pane
      const to = other(pane).path
      const folder = last(other(pane).side, to)
      const title = keys.length > 1 ? n(put ? 'gui.send.put.some' : 'gui.send.get.some', keys.length, { folder }) : t(put ? 'gui.send.put' : 'gui.send.get', { name: pane.picked[0].name, folder })
      setAsk(html`<${Confirm} title=${html`<bdi>${title}</bdi>`} text=${goes(pane)} yes=${copyWords(pane)} no=${t('gui.cancel')} onClose=${close} onYes=${async () => {
        close()
        await transfer(pane.side, path, keys, to)
      }} />`)
    },
    preview: e => setSeen({ side: pane.side, path: pane.path, key: e.key }),
    properties: () => {
      const e = pane.picked[0] || pane.entries[pane.at]
      if (e) setAsk(html`<${Properties} side=${pane.side} path=${join(pane.path, e.key)} entry=${e} onClose=${close} />`)
    },
    folder: () => setAsk(html`<${Prompt} title=${t('gui.folder.title')} label=${t('gui.folder.name')} yes=${t('gui.folder.button')} onClose=${close} onYes=${async name => {
      await post('mkdir', { side: pane.side, path: join(pane.path, escape(name)) })
      close()
      pane.load()
    }} />`),
    rename: () => {
      const e = pane.picked[0]
      if (pane.picked.length !== 1) return
      const typed = typable(e)
      setAsk(html`<${Prompt} title=${html`<bdi>${t('gui.rename.what', { name: e.name })}</bdi>`} label=${t('gui.rename.name')} value=${typed} yes=${t('gui.rename.button')} onClose=${close} onYes=${async name => {
        if (name !== e.name || typed !== e.name) await post('rename', { side: pane.side, path: join(pane.path, e.key), to: join(pane.path, escape(name)) })
        close()
        pane.load()
      }} />`)
    },
    move: () => setAsk(html`<${Folder} pane=${pane} onClose=${close} onYes=${async to => {
      await moveAll(pane.side, pane.path, pane.picked.map(e => e.key), to)
      close()
      pane.load()
    }} />`),
    count: () => Promise.all(pane.picked.filter(e => e.kind === 'folder').map(pane.count)).catch(tell),
    copyPath: () => navigator.clipboard.writeText(pane.picked.map(e => written(pane.side, join(pane.path, e.key))).join('\n')).then(() => notice('info', t('gui.menu.copied')), () => {}),
    remove: () => {
      if (pane.picked.length === 0) return
      const paths = pane.picked.map(e => join(pane.path, e.key))
      let stopped = false
      const stop = () => {
        stopped = true
        close()
      }
      setAsk(html`<${Remove} side=${pane.side} paths=${paths} entries=${pane.picked} onClose=${stop} onYes=${async () => {
        const failed = []
        let asked = 0
        let removed = 0
        try {
          while (asked < paths.length && !stopped) { // some at a time, so that it can be stopped
            const some = paths.slice(asked, asked + 50)
            const a = await post('remove', { side: pane.side, paths: some })
            failed.push(...a.failed)
            removed += a.removed
            asked += some.length
            if (a.rest > 0) break
          }
        } finally {
          pane.load()
        }
        if (stopped || removed + failed.length < paths.length) notice('info', t('gui.remove.stopped', { done: removed, total: paths.length }))
        if (!stopped) close()
        tellFailed(failed)
      }} />`)
    },
  })

  // Why something cannot be done now, '' if it can.
  const away = pane => pane.away ? t('gui.why.away') : ''
  const some = pane => pane.picked.length === 0 ? t('gui.why.none') : ''
  const one = pane => some(pane) || (pane.picked.length > 1 ? t('gui.why.one') : '')
  const copyWords = pane => t(pane.side === 'local' ? 'gui.files.upload' : 'gui.files.download')
  const copyIcon = pane => pane.side === 'local' ? 'upload' : 'download'
  // Where a copy goes: the folder that the other side shows, which a narrow window hides.
  const goes = pane => {
    const { side, path } = other(pane)
    const words = t('gui.files.' + side)
    return t('gui.files.goes', { place: trail(side, path).startsWith(words) ? trail(side, path) : words + ' › ' + trail(side, path) })
  }
  const chosenMenu = (pane, acts) => [
    ...pane.picked.length === 1 && pane.picked[0].kind === 'folder' ? [{ name: t('gui.menu.open'), icon: 'folder-open', act: () => pane.open(join(pane.path, pane.picked[0].key)), key: '↵' }] : [],
    ...pane.picked.length === 1 && pane.picked[0].kind === 'file' ? [{ name: t('gui.preview'), icon: 'eye', act: () => acts.preview(pane.picked[0]), why: away(pane), key: '↵' }] : [],
    { name: copyWords(pane), icon: copyIcon(pane), act: acts.copy, key: 'F5' }, null,
    { name: t('gui.rename.title'), icon: 'pencil', act: acts.rename, why: away(pane) || one(pane), key: 'F2' },
    { name: t('gui.move.title'), icon: 'folder-input', act: acts.move, why: away(pane) },
    { name: t('gui.menu.path'), icon: 'copy', act: acts.copyPath },
    ...pane.picked.some(e => e.kind === 'folder') ? [{ name: t('gui.size.count'), icon: 'calculator', act: acts.count, why: away(pane) }] : [],
    { name: t('gui.properties'), icon: 'info', act: acts.properties, why: one(pane), key: 'Alt ↵' }, null,
    { name: t('gui.remove.title'), icon: 'trash-2', act: acts.remove, why: away(pane), danger: true, key: 'Del' },
  ]
  const folderMenu = (pane, acts) => [
    { name: t('gui.folder.new'), icon: 'folder-plus', act: acts.folder, why: away(pane) },
    { name: t('gui.files.refresh'), icon: 'rotate-cw', act: pane.load },
  ]
  const sendMenu = () => [
    { name: t('gui.files.choose'), icon: 'file', act: () => files.current.click() },
    { name: t('gui.files.choose.folder'), icon: 'folder', act: () => folder.current.click() },
  ]
  // A menu is made when it is drawn, for what has been chosen by then.
  const open = (pane, of, label, x, y) => setMenu({ of, label, side: pane.side, at: { x, y } })
  const below = (e, pane, of, label) => {
    const r = e.currentTarget.getBoundingClientRect()
    open(pane, of, label, r.x, r.bottom + 2)
  }
  const shown = { send: sendMenu, chosen: chosenMenu, folder: folderMenu }
  const Tools = (pane, acts) => pane.picked.length === 0 ? html`<div class="tools">
      <${Button} icon=${copyIcon(pane)} kind="primary" label=${copyWords(pane)} why=${some(pane)} data-act="copy" />
      ${pane === remote && html`<${Button} icon="folder-open" label=${t('gui.files.send')} aria-haspopup="menu" onClick=${e => below(e, pane, 'send', t('gui.files.send'))} />`}
      <${Button} icon="folder-plus" label=${t('gui.folder.new')} why=${away(pane)} onClick=${acts.folder} data-act="folder" />
      <${Button} icon="rotate-cw" class="button refresh" label=${t('gui.files.refresh')} onClick=${pane.load} /></div>`
    : html`<div class="tools chosen" role="toolbar" aria-label=${t('gui.files.selection')}>
      <${Button} short icon="x" kind="quiet" label=${t('gui.files.clear')} onClick=${() => pane.setChosen(new Set())} /><span class="count">${n('gui.files.selected', pane.picked.length)}</span>
      <${Button} icon=${copyIcon(pane)} kind="primary" label=${copyWords(pane)} title=${goes(pane)} onClick=${acts.copy} data-act="copy" />
      <${Button} icon="pencil" kind="quiet" label=${t('gui.rename.title')} why=${away(pane) || one(pane)} onClick=${acts.rename} data-act="rename" />
      <${Button} icon="folder-input" kind="quiet" label=${t('gui.move.title')} why=${away(pane)} onClick=${acts.move} data-act="move" />
      <${Button} icon="trash-2" kind="danger-quiet" label=${t('gui.remove.title')} why=${away(pane)} onClick=${acts.remove} data-act="remove" />
      <${Button} short icon="ellipsis" kind="quiet" label=${t('gui.files.more')} aria-haspopup="menu" onClick=${e => below(e, pane, 'chosen', t('gui.files.more'))} data-act="more" />
      <button type="button" class="as-link goes" onClick=${() => set({ side: other(pane).side })}>${goes(pane)}</button></div>`
  const Side = (pane, label) => {
    const acts = actsOf(pane)
    return html`<${Pane} pane=${pane} label=${label} acts=${acts} onDrop=${drop(pane)} onSearch=${words => setAsk(html`<${Search} pane=${pane} words=${words} onClose=${close} />`)} takesFiles=${pane === remote}
      menu=${(x, y, onRow) => open(pane, onRow ? 'chosen' : 'folder', label, x, y)}>${Tools(pane, acts)}</${Pane}>`
  }
  const pointed = menu?.side === 'local' ? local : remote
  const looked = seen?.side === 'local' ? local : remote
  const show = key => {
    looked.point(key)
    setSeen({ ...seen, key })
  }
  return html`<h1 class="hidden">${t('gui.nav.files')}</h1>
    <div class="sides-tabs" role="group" aria-label=${t('gui.files.side')}>${[['local', 'gui.files.local', 'monitor'], ['remote', 'gui.files.remote', 'hard-drive']].map(([side, key, icon]) => html`
      <${Button} icon=${icon} kind="quiet" label=${t(key)} aria-pressed=${s.side === side ? 'true' : 'false'} onClick=${() => set({ side })} />`)}</div>
    <div class=${'panes show-' + s.side}>${Side(local, t('gui.files.local'))}${Side(remote, t('gui.files.remote'))}</div>
    <input type="file" multiple hidden ref=${files} id="choose-files" onChange=${chooser} />
    <input type="file" webkitdirectory hidden ref=${folder} id="choose-folder" onChange=${chooser} />
    ${menu && html`<${Menu} at=${menu.at} label=${menu.label} items=${shown[menu.of](pointed, actsOf(pointed))} onClose=${() => setMenu(null)} />`}${ask}
    ${seen && html`<${Preview} pane=${looked} path=${seen.path} at=${seen.key} go=${show} sendWords=${copyWords(looked)} sendIcon=${copyIcon(looked)} send=${key => transfer(seen.side, seen.path, [key], other(looked).path)} onClose=${() => setSeen(null)} />`}`
}
