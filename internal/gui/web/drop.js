// Files that come from the browser itself, dropped or chosen: the page hands
// them over to the program, which keeps them until they are on the server.
import { post, postBytes } from './api.js'
import { notice, tell } from './store.js'
import { n, t } from './text.js'

const batchBytes = 8 << 20
const batchFiles = 400
const alone = 4 << 20

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
    const got = await Promise.all(files.map(e => asked((ok, failed) => e.file(ok, failed))))
    files.forEach((e, i) => got[i] ? all.push({ path: path(e), file: got[i] }) : missing.push(path(e)))
    for (const folder of list.filter(e => !e.isFile)) {
      all.push({ path: path(folder) })
      const reader = folder.createReader()
      for (;;) {
        const next = await asked((ok, failed) => reader.readEntries(ok, failed))
        if (!next) missing.push(path(folder))
        if (!next?.length) break
        await some(next)
      }
    }
  }
  await some(entries)
  tellUnreadable(missing)
  return all
}

// asked turns a callback interface into a promise. It gives null on any failure; some browsers
// throw for a name that is not UTF-8.
const asked = call => new Promise(ok => {
  try {
    call(ok, () => ok(null))
  } catch {
    ok(null)
  }
})

function tellUnreadable(names) {
  for (const name of names) notice('error', t('gui.drop.unreadable', { name }), t('gui.drop.unreadable.fix'), { group: 'unreadable', many: 'gui.drop.unreadable.many', name })
}

// readable tells whether a file can be read to its end.
async function readable(file) {
  try {
    const reader = file.stream().getReader()
    for (;;) if ((await reader.read()).done) return true
  } catch {
    return false
  }
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
    const unreadable = []
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
      const header = JSON.stringify(file ? { path, size: file.size, mtime: file.lastModified } : { path, size: -1 }) + '\n'
      // A file that cannot be read would take its whole request with it: small
      // ones are read before, large ones have a request of their own.
      if (file && file.size > alone) {
        await flush()
        try {
          refused.push(...(await postBytes('spool/' + id, new Blob([header, file]))).refused)
        } catch (e) {
          if (e.code !== 'gui_gone' || await readable(file)) throw e
          unreadable.push(path)
        }
        continue
      }
      const bytes = file && await file.arrayBuffer().catch(() => null)
      if (file && bytes?.byteLength !== file.size) {
        unreadable.push(path)
        continue
      }
      parts.push(header)
      if (file) parts.push(bytes)
      weight += file?.size || 0
      if (++some >= batchFiles || weight >= batchBytes) await flush()
    }
    await flush()
    // Before the end: if nothing has arrived, the end fails, and these say why.
    tellUnreadable(unreadable)
    if (refused.length > 5) notice('error', t('gui.more', { n: refused.length - 5 }))
    for (const p of refused.slice(0, 5)) notice('error', p.what, p.fix)
    await post(`spool/${id}/done`)
  } catch (e) {
    await post('jobs/act', { id, act: 'cancel' }).catch(tell)
    throw e
  } finally {
    if (--open === 0) removeEventListener('beforeunload', stay)
  }
}
