// The only door to the program behind the page.
import { lang, t } from './text.js'

const storage = 'hufu-key'

// The start page hands the key over behind the #; it goes into this origin's
// own storage and out of the address.
const handed = /^#([A-Z2-7]{20,40})$/.exec(location.hash)
if (handed) {
  localStorage.setItem(storage, handed[1])
  history.replaceState(null, '', '/')
}

// A Problem says what happened and what to do next, in the page's language.
export class Problem extends Error {
  constructor(p) {
    super(p.what)
    Object.assign(this, p)
  }
}

let over = () => {}
export const onSessionOver = f => { over = f }

const gone = () => new Problem({ kind: 'network', code: 'gui_gone', what: t('gui.gone'), fix: t('gui.gone.fix') })

export function headers(type = 'application/json', language = lang()) {
  return { 'Content-Type': type, 'X-Hufu-Key': localStorage.getItem(storage) || '', 'X-Hufu-Lang': language }
}

async function answer(request) {
  let r
  let a
  try {
    r = await request
    a = await r.json()
  } catch {
    throw gone()
  }
  if (r.ok) return a
  if (r.status === 401) over(a.error)
  throw new Problem(a.error || { kind: 'internal', code: 'internal', what: r.statusText })
}

export const get = (path, language) => answer(fetch('/api/' + path, { headers: headers(undefined, language), cache: 'no-store' }))
export const post = (path, body = {}, signal) => answer(fetch('/api/' + path, { method: 'POST', headers: headers(), body: JSON.stringify(body), signal }))
export const postBytes = (path, blob) => answer(fetch('/api/' + path, { method: 'POST', headers: headers('application/octet-stream'), body: blob }))

// listen gives each state of the stream to fn until signal ends it; down is told
// when the program is away and when it is back.
export async function listen(fn, down, signal) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 5000)) {
    try {
      const r = await fetch('/api/events', { headers: headers(), cache: 'no-store', signal })
      if (r.status === 401) return over((await r.json()).error)
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader()
      let rest = ''
      for (;;) {
        const { value, done } = await reader.read()
        if (done) break
        const lines = (rest + value).split('\n')
        rest = lines.pop()
        if (lines.length === 0) continue
        wait = 500
        down(false)
        fn(JSON.parse(lines.at(-1)))
      }
    } catch { /* told below */ }
    if (signal.aborted) return
    down(true)
    await new Promise(done => setTimeout(done, wait))
  }
}
