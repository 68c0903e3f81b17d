// What the page knows, in one place; components draw it anew when it changes.
import { useLayoutEffect, useState } from './vendor/hooks.js'
import { get, listen, onSessionOver, Problem } from './api.js'
import { lang, n, remember, t, use } from './text.js'

export const state = {
  ready: false,
  over: null, // why the page cannot go on: the session is not known any more
  down: false, // the program behind the page is away
  version: '',
  profiles: [],
  profile: '',
  link: null, // the server, once somebody has looked at it
  entered: false,
  lost: null,
  jobs: [],
  home: '/',
  roots: ['/'],
  screen: '',
  notices: [],
  theme: localStorage.getItem('hufu-theme') || 'auto',
}

const watchers = new Set()

export function set(change) {
  Object.assign(state, change)
  for (const w of watchers) w()
}

export function useStore() {
  const [, draw] = useState(0)
  useLayoutEffect(() => { // at once: an answer may come before the first effect
    const w = () => draw(x => x + 1)
    watchers.add(w)
    return () => watchers.delete(w)
  }, [])
  return state
}

let serial = 0

// notice shows a line: an error stays until it is dismissed, that of a transfer
// until the screen is opened that tells it too.
export function notice(kind, what, fix, ofJob = false) {
  const id = ++serial
  set({ notices: [...state.notices.filter(x => x.what !== what), { id, kind, what, fix, ofJob }] })
  if (kind !== 'error') setTimeout(() => dismiss(id), 8000)
}

export const dismiss = id => set({ notices: state.notices.filter(x => x.id !== id) })

// tell shows an error as a notice.
export function tell(e) {
  if (!(e instanceof Problem)) throw e
  notice('error', e.what, e.fix)
}

export function go(screen) {
  if (state.screen === screen) return
  set({ screen, notices: state.notices.filter(x => x.kind === 'error' && screen !== 'login' && !(x.ofJob && screen === 'transfers')) })
  history.replaceState(null, '', '/#/' + screen)
}

export function setTheme(theme) {
  localStorage.setItem('hufu-theme', theme)
  set({ theme })
  document.documentElement.dataset.theme = theme
}

export async function setLang(next) {
  use(next, await get('texts', next))
  remember(next)
  set({})
  restart()
}

// The stream speaks the language that it began with.
let restart = () => {}

// label names a transfer by its first name.
export const label = j => j.name ? (j.more > 0 ? n('gui.job.more', j.more, { name: j.name }) : j.name) : n('gui.job.some', j.files)

let heard = false // what was over before the page began is no news

const finished = s => s === 'done' || s === 'failed' || s === 'canceled'

function take(update) {
  const before = new Map(state.jobs.map(j => [j.id, j.state]))
  const news = heard
  heard = true
  const change = { jobs: update.jobs, lost: update.lost }
  // A line that was on its way when somebody logged in says nothing of it.
  if (state.entered && !update.entered && update.turn >= (state.link?.turn ?? 0)) change.entered = false
  set(change)
  if ('entered' in change && state.screen !== 'join') go('login')
  for (const j of update.jobs) {
    if (!finished(j.state) || (before.has(j.id) ? finished(before.get(j.id)) : !news)) continue
    if (j.state === 'done') notice('done', t('gui.job.done', { name: label(j) }))
    if (j.state === 'failed' && state.screen !== 'transfers') notice('error', t('gui.job.failed', { name: label(j) }), j.error?.what, true)
  }
}

export async function begin() {
  document.documentElement.dataset.theme = state.theme
  onSessionOver(why => set({ over: why, ready: true }))
  const s = await get('state')
  use(lang() || s.lang, {})
  use(lang(), await get('texts'))
  const wanted = location.hash.replace(/^#\//, '')
  set({
    version: s.version, profiles: s.profiles, profile: s.profile, home: s.home, roots: s.roots,
    link: s.link.logged_in ? s.link : null, entered: s.link.logged_in, ready: true,
  })
  const inside = ['files', 'transfers', 'wire', 'handshake']
  go(s.link.logged_in ? (inside.includes(wanted) ? wanted : 'files') : s.profiles.length === 0 ? 'join' : 'login')
  follow()
}

function follow() {
  const stop = new AbortController()
  restart = () => {
    stop.abort()
    follow()
  }
  listen(take, down => state.down === down || set({ down }), stop.signal)
}
