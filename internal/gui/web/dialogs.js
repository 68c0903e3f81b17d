// The questions that the files ask: properties, where to move to, a new name.
import { useEffect, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { usePane } from './pane.js'
import { join, last, parent, trail, typeOf } from './places.js'
import { state } from './store.js'
import { n, size, t, time } from './text.js'
import { Button, Dialog, html, Icon, Rows, Trouble, useBusy } from './ui.js'

// rights spells a mode as ls does: rw-r--r-- for 0644.
const rights = mode => [...mode.slice(-3)].map(d => ['r', 'w', 'x'].map((c, i) => d >> 2 - i & 1 ? c : '-').join('')).join('')

// amount says how much is in folders, as far as it was counted.
export const amount = s => n(s.whole ? 'gui.size' : 'gui.size.least', s.files + s.folders, { size: size(s.bytes) })

export function Properties({ side, path, entry, onClose }) {
  const [e, setEntry] = useState(entry)
  const [inside, setInside] = useState(null)
  const { busy, problem, run } = useBusy()
  const [verdict, setVerdict] = useState('')
  const read = () => run(async () => {
    setVerdict('')
    const now = (await post('properties', { side, path, digest: true })).entry
    setVerdict(!e.digest ? t('gui.prop.computed') : e.digest === now.digest ? t('gui.prop.checked') : t('gui.prop.changed'))
    setEntry(now)
  })
  const count = () => run(async () => setInside(await post('size', { side, paths: [path] })))
  const folder = e.kind === 'folder'
  return html`<${Dialog} title=${t('gui.properties')} onClose=${onClose} wide>
    <${Rows} of=${[[t('gui.files.name'), html`<bdi>${entry.name}</bdi>`], [t('gui.prop.at'), html`<bdi>${trail(side, parent(path))}</bdi>`], [t('gui.prop.kind'), typeOf(e).words],
      [t('gui.files.size'), folder ? inside && amount(inside) : e.kind === 'file' && (e.size < 1024 ? n('gui.prop.bytes', e.size) : `${size(e.size)} (${n('gui.prop.bytes', e.size)})`)], [t('gui.files.time'), time(e.mtime)],
      [t('gui.prop.mode'), html`<code>${rights(e.mode)} (${e.mode})</code>`], [t('gui.prop.by'), e.by && html`<bdi>${e.by}</bdi>`], [t('gui.prop.target'), e.target && html`<bdi>${e.target}</bdi>`],
      [t('gui.prop.digest'), e.digest && html`<code class="digest">${e.digest}</code>`]]} />
    <p role="status" class="hint">${busy ? t(folder ? 'gui.size.counting' : 'gui.prop.reading') : verdict}</p>
    <${Trouble} problem=${problem} />
    <div class="buttons">${folder && html`<${Button} icon="calculator" label=${t('gui.size.count')} disabled=${busy} onClick=${count} />`}
      ${e.kind === 'file' && html`<${Button} icon="shield-check" label=${e.digest ? t('gui.prop.check') : t('gui.prop.compute')} disabled=${busy} onClick=${read} />`}
      <${Button} kind="primary" label=${t('gui.close')} onClick=${onClose} autofocus /></div></${Dialog}>`
}

// typable returns the name to put into the field. Escapes such as \x0a stand for bytes that cannot
// be typed; each becomes "_", or the new name would contain the escape itself.
export function typable(e) {
  let raw = ''
  try {
    raw = decodeURIComponent(e.key)
  } catch { // not UTF-8
  }
  return raw === e.name ? raw : e.name.replace(/\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}/g, '_')
}

// Listing shows the folders of there, which it can go to. If onFile is given, it shows the files, too.
const Listing = ({ there, label, onFile }) => html`<div class="folders" tabindex="0" aria-label=${label} role="group">
  ${there.path !== '/' && html`<button type="button" onClick=${() => there.open(parent(there.path))}><${Icon} name="arrow-up" />${t('gui.files.up')}</button>`}
  ${there.entries.filter(e => e.kind === 'folder').map(e => html`<button type="button" key=${e.key} onClick=${() => there.open(join(there.path, e.key))}><${Icon} name="folder" /><bdi>${e.name}</bdi></button>`)}
  ${onFile && there.entries.filter(e => e.kind === 'file').map(e => html`<button type="button" key=${e.key} onClick=${() => onFile(join(there.path, e.key))}><${Icon} name=${typeOf(e).icon} /><bdi>${e.name}</bdi></button>`)}</div>`

// ChooseFile chooses a file of this computer.
export function ChooseFile({ onYes, onClose }) {
  const [path, setPath] = useState(state.at.local)
  const there = usePane('local', path, setPath)
  return html`<${Dialog} title=${t('gui.wire.choose.title')} onClose=${onClose}>
    <p><strong><bdi>${trail('local', path)}</bdi></strong></p>
    <${Listing} there=${there} label=${t('gui.wire.choose.files')} onFile=${onYes} />
    <${Trouble} problem=${there.problem} />
    <div class="buttons"><${Button} label=${t('gui.cancel')} onClick=${onClose} /></div></${Dialog}>`
}

// Folder chooses where to move to.
export function Folder({ pane, onYes, onClose }) {
  const [path, setPath] = useState(pane.path)
  const there = usePane(pane.side, path, setPath)
  const { busy, problem, run } = useBusy()
  const title = pane.picked.length === 1 ? t('gui.move.what', { name: pane.picked[0].name }) : n('gui.move.some', pane.picked.length)
  return html`<${Dialog} title=${html`<bdi>${title}</bdi>`} onClose=${onClose}>
    <p>${t('gui.move.to')} <strong><bdi>${last(pane.side, path)}</bdi></strong></p>
    <${Listing} there=${there} label=${t('gui.move.folders')} />
    <${Trouble} problem=${problem || there.problem} />
    <div class="buttons"><${Button} label=${t('gui.cancel')} onClick=${onClose} />
      <${Button} kind="primary" label=${t('gui.move.button')} disabled=${busy} why=${path === pane.path ? t('gui.move.here') : ''} onClick=${() => run(() => onYes(path))} /></div></${Dialog}>`
}

// Remove says what goes, and that it does not come back.
export function Remove({ side, paths, entries, onYes, onClose }) {
  const [inside, setInside] = useState(null)
  const { busy, problem, run } = useBusy()
  const folders = entries.some(e => e.kind === 'folder')
  useEffect(() => {
    let late = false
    if (folders) post('size', { side, paths }).then(a => late || setInside(a), () => {}) // what cannot be counted can still be removed
    return () => { late = true }
  }, [])
  // The folders that were chosen are no content of theirs.
  const more = inside && { ...inside, files: inside.files - entries.filter(e => e.kind !== 'folder').length, folders: inside.folders - entries.filter(e => e.kind === 'folder').length }
  const name = entries[0]?.name ?? ''
  const what = entries.length > 1 ? n('gui.remove.some', entries.length) : folders ? t('gui.remove.folder', { name }) : t('gui.remove.one', { name })
  return html`<${Dialog} title=${html`<bdi>${what}</bdi>`} onClose=${onClose}>
    ${folders && html`<p>${more ? (more.files + more.folders > 0 ? amount({ ...more, bytes: inside.bytes }) : t('gui.size.none')) : html`<span class="hint">${t('gui.size.counting')}</span>`}</p>`}
    ${entries.length > 1 && html`<ul class="names">${entries.slice(0, 8).map(x => html`<li><bdi>${x.name}</bdi></li>`)}
      ${entries.length > 8 && html`<li>${t('gui.more', { n: entries.length - 8 })}</li>`}</ul>`}
    <p>${t(side === 'local' ? 'gui.remove.local' : 'gui.remove.remote')}</p>
    <${Trouble} problem=${problem} />
    <div class="buttons"><${Button} label=${t('gui.cancel')} onClick=${onClose} autofocus />
      <${Button} icon="trash-2" kind="danger" label=${t('gui.remove.button')} disabled=${busy} onClick=${() => run(onYes)} /></div></${Dialog}>`
}
