// Files that come from the browser itself, dropped or chosen: the page hands
// them over to the program, which keeps them until they are on the server.
import { post, postBytes } from './api.js'
import { notice, tell } from './store.js'
import { n, t } from './text.js'

const batchBytes = 8 << 20
const batchFiles = 400

// collect lists what was dropped, folders with everything in them. It must
// begin before the event is over.
export function collect(data) {
  const entries = [...data.items].filter(i => i.kind === 'file').map(i => i.webkitGetAsEntry?.()).filter(Boolean)
  if (entries.length === 0) return Promise.resolve([...data.files].map(file => ({ path: file.name, file })))
  return walk(entries)
}

async function walk(entries) {
  const all = []
  const missing = []
  const path = entry => entry.fullPath.replace(/^\//, '')
  const some = async list => {
    // The files of one answer at once: asked for one by one, ten thousand take long.
    const files = list.filter(e => e.isFile)
    const got = await Promise.all(files.map(e => new Promise(ok => e.file(ok, () => ok(null)))))
    files.forEach((e, i) => got[i] ? all.push({ path: path(e), file: got[i] }) : missing.push(path(e)))
    for (const folder of list.filter(e => !e.isFile)) {
      all.push({ path: path(folder) })
      const reader = folder.createReader()
      for (;;) {
        const next = await new Promise(ok => reader.readEntries(ok, () => {
          missing.push(path(folder))
          ok([])
        }))
        if (next.length === 0) break
        await some(next)
      }
    }
  }
  await some(entries)
  for (const name of missing.slice(0, 5)) notice('error', t('gui.drop.unreadable', { name }), t('gui.drop.unreadable.fix'))
  if (missing.length > 5) notice('error', t('gui.more', { n: missing.length - 5 }))
  return all
}

let open = 0

// Leaving while files are being handed over would lose them: the browser asks.
const stay = e => e.preventDefault()

export async function spool(collecting, to) {
  const looking = setTimeout(() => notice('info', t('gui.job.looking')), 400)
  const list = await collecting.finally(() => clearTimeout(looking))
  if (list.length === 0) return
  const bytes = list.reduce((x, i) => x + (i.file?.size || 0), 0)
  const { id } = await post('spool', { to, files: list.filter(i => i.file).length, bytes })
  if (open++ === 0) addEventListener('beforeunload', stay)
  notice('info', n('gui.spool.begin', list.filter(i => i.file).length || list.length))
  try {
    const refused = []
    let parts = []
    let some = 0
    let weight = 0
    const flush = async () => {
      if (parts.length === 0) return
      const body = new Blob(parts)
      parts = []
      some = weight = 0
      refused.push(...(await postBytes('spool/' + id, body)).refused)
    }
    for (const { path, file } of list) {
      parts.push(JSON.stringify(file ? { path, size: file.size, mtime: file.lastModified } : { path, size: -1, mtime: 0 }) + '\n')
      if (file) parts.push(file)
      weight += file?.size || 0
      if (++some >= batchFiles || weight >= batchBytes) await flush()
    }
    await flush()
    await post(`spool/${id}/done`)
    for (const p of refused.slice(0, 5)) notice('error', p.what, p.fix)
    if (refused.length > 5) notice('error', t('gui.more', { n: refused.length - 5 }))
  } catch (e) {
    await post('jobs/act', { id, act: 'cancel' }).catch(tell)
    throw e
  } finally {
    if (--open === 0) removeEventListener('beforeunload', stay)
  }
}
