// Files: this computer and the server side by side.
import { useEffect, useRef, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { collect, spool } from './drop.js'
import { join, mime, moveAll, Pane, parent, tellFailed, usePane } from './pane.js'
import { notice, tell, useStore } from './store.js'
import { n, size, t, time } from './text.js'
import { Button, Confirm, Dialog, html, Icon, Prompt, Rows, Trouble, useBusy } from './ui.js'

function Properties({ side, path, entry, onClose }) {
  const [e, setEntry] = useState(entry)
  const { busy, problem, run } = useBusy()
  const [verdict, setVerdict] = useState('')
  const read = () => run(async () => {
    setVerdict('')
    const now = (await post('properties', { side, path, digest: true })).entry
    setVerdict(!e.digest ? t('gui.prop.computed') : e.digest === now.digest ? t('gui.prop.checked') : t('gui.prop.changed'))
    setEntry(now)
  })
  return html`<${Dialog} title=${t('gui.properties')} onClose=${onClose} wide>
    <${Rows} of=${[[t('gui.files.name'), html`<bdi>${entry.name}</bdi>`], [t('gui.prop.kind'), t('gui.kind.' + e.kind)],
      [t('gui.files.size'), e.kind === 'file' && `${size(e.size)} (${n('gui.prop.bytes', e.size)})`], [t('gui.files.time'), time(e.mtime)],
      [t('gui.prop.mode'), html`<code>${e.mode}</code>`], [t('gui.prop.by'), e.by && html`<bdi>${e.by}</bdi>`], [t('gui.prop.target'), e.target && html`<bdi>${e.target}</bdi>`],
      [t('gui.prop.digest'), e.digest && html`<code class="digest">${e.digest}</code>`]]} />
    <p role="status" class="hint">${busy ? t('gui.prop.reading') : verdict}</p>
    <${Trouble} problem=${problem} />
    <div class="buttons">${e.kind === 'file' && html`<${Button} label=${e.digest ? t('gui.prop.check') : t('gui.prop.compute')} disabled=${busy} onClick=${read} />`}
      <${Button} kind="primary" label=${t('gui.close')} onClick=${onClose} autofocus /></div></${Dialog}>`
}

// typable is a name as it can be typed: what is shown as \x0a stands for a byte
// that nobody means to keep, and would else become those four characters.
function typable(e) {
  let raw = ''
  try {
    raw = decodeURIComponent(e.key)
  } catch { // not UTF-8
  }
  return raw === e.name ? raw : e.name.replace(/\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}/g, '_')
}

// Folder chooses where to move to.
function Folder({ pane, onYes, onClose }) {
  const there = usePane(pane.side, pane.path)
  const { busy, problem, run } = useBusy()
  const folders = there.entries.filter(e => e.kind === 'folder')
  return html`<${Dialog} title=${t('gui.move.title')} onClose=${onClose}>
    <p>${n('gui.move.text', pane.picked.length)} <strong><bdi>${'/' + (there.list?.path === there.path ? there.list.crumbs : []).map(c => c.name).join('/')}</bdi></strong></p>
    <div class="folders" tabindex="0" aria-label=${t('gui.move.folders')} role="group">
      ${there.path !== '/' && html`<button type="button" onClick=${() => there.open(parent(there.path))}><${Icon} name="up" />${t('gui.files.up')}</button>`}
      ${folders.map(e => html`<button type="button" key=${e.key} onClick=${() => there.open(join(there.path, e.key))}><${Icon} name="folder" /><bdi>${e.name}</bdi></button>`)}</div>
    <${Trouble} problem=${problem || there.problem} />
    <div class="buttons"><${Button} label=${t('gui.cancel')} onClick=${onClose} />
      <${Button} kind="primary" label=${t('gui.move.button')} disabled=${busy || there.path === pane.path} onClick=${() => run(() => onYes(there.path))} /></div></${Dialog}>`
}

export function Files() {
  const s = useStore()
  const local = usePane('local', sessionStorage.getItem('hufu-local') || s.home)
  const remote = usePane('remote', sessionStorage.getItem('hufu-remote') || '/')
  sessionStorage.setItem('hufu-local', local.path)
  sessionStorage.setItem('hufu-remote', remote.path)
  // What a transfer has brought shows at once.
  const ended = s.jobs.filter(j => j.ended).map(j => j.id + j.ended).join()
  useEffect(() => {
    local.load()
    remote.load()
  }, [ended])
  const [ask, setAsk] = useState(null)
  const files = useRef()
  const folder = useRef()
  const close = () => setAsk(null)
  const other = pane => pane.side === 'local' ? remote : local

  const transfer = async (from, folder, keys, to) => {
    if (keys.length === 0) return
    try {
      await post('jobs', { op: from === 'local' ? 'put' : 'get', sources: keys.map(k => join(folder, k)), to })
      notice('info', n(from === 'local' ? 'gui.job.put' : 'gui.job.get', keys.length))
    } catch (e) {
      tell(e)
    }
  }
  const upload = async (list, to) => {
    try {
      await spool(list, to)
    } catch (e) {
      tell(e)
    }
  }
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
    properties: () => {
      const e = pane.picked[0] || pane.entries[pane.at]
      if (e) setAsk(html`<${Properties} side=${pane.side} path=${join(pane.path, e.key)} entry=${e} onClose=${close} />`)
    },
    folder: () => setAsk(html`<${Prompt} title=${t('gui.folder.title')} label=${t('gui.folder.name')} yes=${t('gui.folder.button')} onClose=${close} onYes=${async name => {
      await post('mkdir', { side: pane.side, path: join(pane.path, encodeURIComponent(name)) })
      close()
      pane.load()
    }} />`),
    rename: () => {
      const e = pane.picked[0]
      if (pane.picked.length !== 1) return
      const typed = typable(e)
      setAsk(html`<${Prompt} title=${t('gui.rename.title')} label=${t('gui.rename.name')} value=${typed} yes=${t('gui.rename.button')} onClose=${close} onYes=${async name => {
        if (name !== e.name || typed !== e.name) await post('rename', { side: pane.side, path: join(pane.path, e.key), to: join(pane.path, encodeURIComponent(name)) })
        close()
        pane.load()
      }} />`)
    },
    move: () => setAsk(html`<${Folder} pane=${pane} onClose=${close} onYes=${async to => {
      await moveAll(pane.side, pane.path, pane.picked.map(e => e.key), to)
      close()
      pane.load()
    }} />`),
    remove: () => {
      if (pane.picked.length === 0) return
      const paths = pane.picked.map(e => join(pane.path, e.key))
      let stopped = false
      const stop = () => {
        stopped = true
        close()
      }
      setAsk(html`<${Confirm} danger title=${t('gui.remove.title')} names=${pane.picked.map(e => e.name)} yes=${t('gui.remove.button')} onClose=${stop}
        text=${n(pane.side === 'local' ? 'gui.remove.local' : 'gui.remove.remote', paths.length)} onYes=${async () => {
          const failed = []
          let asked = 0
          try {
            while (asked < paths.length && !stopped) { // some at a time, so that it can be stopped
              const some = paths.slice(asked, asked + 50)
              failed.push(...(await post('remove', { side: pane.side, paths: some })).failed)
              asked += some.length
            }
          } finally {
            pane.load()
          }
          if (stopped) notice('info', t('gui.remove.stopped', { done: asked - failed.length, total: paths.length }))
          else close()
          tellFailed(failed)
        }} />`)
    },
  })

  const tools = (pane, acts) => {
    const some = pane.picked.length
    return html`<${Button} short icon="up" label=${t('gui.files.up')} disabled=${pane.path === '/'} onClick=${() => pane.open(parent(pane.path))} />
      <${Button} short icon="plus" label=${t('gui.folder.title')} onClick=${acts.folder} />
      <${Button} short icon="edit" label=${t('gui.rename.title')} disabled=${some !== 1} onClick=${acts.rename} />
      <${Button} short icon="move" label=${t('gui.move.title')} disabled=${some === 0} onClick=${acts.move} />
      <${Button} short icon="trash" label=${t('gui.remove.title')} disabled=${some === 0} onClick=${acts.remove} />
      <${Button} short icon="info" label=${t('gui.properties')} disabled=${some !== 1} onClick=${acts.properties} />`
  }
  const here = actsOf(local)
  const there = actsOf(remote)
  return html`<h1 class="hidden">${t('gui.nav.files')}</h1>
    <div class="panes">
      <${Pane} pane=${local} label=${t('gui.files.local')} roots=${s.roots} home=${s.home} acts=${here} onDrop=${drop(local)}>
        <${Button} icon="send" kind="primary" label=${t('gui.files.upload')} disabled=${local.picked.length === 0} onClick=${here.copy} />${tools(local, here)}</${Pane}>
      <${Pane} pane=${remote} label=${t('gui.files.remote')} roots=${['/']} acts=${there} onDrop=${drop(remote)} takesFiles>
        <${Button} icon="fetch" kind="primary" label=${t('gui.files.download')} disabled=${remote.picked.length === 0} onClick=${there.copy} />
        <${Button} icon="upload" label=${t('gui.files.choose')} onClick=${() => files.current.click()} />
        <${Button} icon="folder" short label=${t('gui.files.choose.folder')} onClick=${() => folder.current.click()} />${tools(remote, there)}</${Pane}>
    </div>
    <input type="file" multiple hidden ref=${files} id="choose-files" onChange=${chooser} />
    <input type="file" webkitdirectory hidden ref=${folder} id="choose-folder" onChange=${chooser} />${ask}`
}
