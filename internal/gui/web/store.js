// What the page knows, in one place; components draw it anew when it changes.
import { useLayoutEffect, useState } from './vendor/hooks.js'
import { get, listen, onSessionOver, Problem } from './api.js'
import { last } from './places.js'
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
  lanes: 0, // of a transfer; 0: as the distance of the server demands
  limit: 0, // of all transfers together, in bytes a second; 0: none
  home: '/',
  roots: ['/'],
  screen: '',
  at: { local: '/', remote: '/' }, // the folders that the two panes show
  side: 'remote', // the pane that a narrow window shows
  shared: true, // the server has a shared folder; not known yet: true
  hidden: localStorage.getItem('hufu-hidden') === 'yes',
  keys: false, // the sheet of keys is open
  notices: [], // the newest is shown
  drawer: sessionStorage.getItem('hufu-drawer') === 'open', // the transfers are open
  notify: localStorage.getItem('hufu-notify') === 'yes', // a message of the desktop when a transfer is over
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

// notice shows a message. An error stays until it is dismissed; the error of a transfer goes when
// the drawer is opened, which shows it too. Messages of one group are merged into one with a count.
export function notice(kind, what, fix, more = {}) {
  const id = ++serial
  const said = state.notices.find(x => more.group && x.group === more.group)
  const names = [...said?.names || [], ...more.name ? [more.name] : []]
  const text = names.length > 1 ? n(more.many, names.length) : what
  set({ notices: [...state.notices.filter(x => x !== said && x.what !== text), { id, kind, what: text, fix, ...more, names }] })
  // An error that it covers must not wait long.
  if (kind !== 'error') setTimeout(() => dismiss(id), state.notices.some(x => x.kind === 'error') ? 2500 : 8000)
}

export const dismiss = id => set({ notices: state.notices.filter(x => x.id !== id) })

// tell shows an error as a notice.
export function tell(e) {
  if (!(e instanceof Problem)) throw e
  notice('error', e.what, e.fix)
}

// setDrawer opens or closes the transfers.
export function setDrawer(open) {
  sessionStorage.setItem('hufu-drawer', open ? 'open' : '')
  set({ drawer: open, notices: state.notices.filter(x => !open || !x.ofJob) })
}

const inside = ['files', 'wire', 'handshake', 'devices', 'settings']

// The address names the screen and the folder of the server, so that it can be
// reloaded. The folder of this computer goes along in the history.
const address = () => '/#/' + state.screen + (state.screen === 'files' && state.at.remote !== '/' ? state.at.remote : '')

function record(how) {
  sessionStorage.setItem('hufu-at', JSON.stringify(state.at))
  history[how]({ at: state.at }, '', address())
}

// sheet says that the open transfers cover the screen.
const sheet = matchMedia('(width <= 640px), (width <= 1000px) and (height < 760px)')

export function go(screen, change = {}) {
  if (state.drawer && sheet.matches) setDrawer(false)
  if (state.screen === screen && !change.at) return
  const how = state.screen === '' || !inside.includes(screen) || !inside.includes(state.screen) ? 'replaceState' : 'pushState'
  set({ screen, ...change, notices: state.notices.filter(x => (x.kind === 'error' || x.show) && screen !== 'login') })
  record(how)
}

// visit shows a folder in its pane.
export function visit(side, path) {
  if (state.screen === 'files' && state.at[side] === path) {
    if (state.drawer && sheet.matches) setDrawer(false)
    return set({ side })
  }
  go('files', { at: { ...state.at, [side]: path }, side })
}

// forget leaves the folders of the one who was logged in. The answer to a logout and the stream of
// events both call it, in any order: the second one must not disturb the next login.
export function forget() {
  if (!state.entered) return
  set({ entered: false, link: null, shared: true, at: { local: state.at.local, remote: '/' } })
  go('login')
}

// read takes the screen and the folders from the address.
function read() {
  const [, screen, folder] = /^#\/(\w+)(\/.*)?$/.exec(location.hash) || []
  let at = history.state?.at
  try {
    at ??= JSON.parse(sessionStorage.getItem('hufu-at'))
  } catch { /* as if there were none */ }
  at = { local: at?.local || state.home, remote: folder || (history.state?.at && screen === 'files' ? '/' : at?.remote) || '/' }
  return { screen: inside.includes(screen) ? screen : 'files', at }
}

window.addEventListener('popstate', () => {
  if (state.entered) set(read())
  else if (state.ready && !state.over) history.replaceState(null, '', address())
})

export function setTheme(theme) {
  localStorage.setItem('hufu-theme', theme)
  set({ theme })
  document.documentElement.dataset.theme = theme
}

export function setHidden(hidden) {
  localStorage.setItem('hufu-hidden', hidden ? 'yes' : 'no')
  set({ hidden })
}

// setNotify asks the browser, which asks its user.
export async function setNotify(notify) {
  if (notify && (!window.Notification || await Notification.requestPermission() !== 'granted')) return notice('error', t('gui.settings.notify.refused'), t('gui.settings.notify.refused.fix'))
  localStorage.setItem('hufu-notify', notify ? 'yes' : 'no')
  set({ notify })
}

// announce shows a desktop notification while another window is in front.
function announce(text) {
  if (state.notify && document.hidden && window.Notification?.permission === 'granted') new Notification('hufu', { body: text, icon: '/web/icon.svg', tag: 'hufu' })
}

export async function setLang(next) {
  use(next, await get('texts', next))
  remember(next)
  set({})
  restart()
}

// What one window chooses, the others show too.
window.addEventListener('storage', e => {
  if (e.key === 'hufu-theme' && e.newValue) setTheme(e.newValue)
  if (e.key === 'hufu-hidden') set({ hidden: e.newValue === 'yes' })
  if (e.key === 'hufu-lang' && e.newValue && e.newValue !== lang()) setLang(e.newValue).catch(tell)
})

// The stream speaks the language that it began with.
let restart = () => {}

// label names a transfer by its first name.
export const label = j => j.name ? (j.more > 0 ? n('gui.job.more', j.more, { name: j.name }) : j.name) : n('gui.job.some', j.files)

// mine reports whether a transfer belongs to the login of now: another server, or the same one
// with or without TLS, has other folders under the same names.
export const mine = j => !state.link || j.profile === state.link.profile && j.plain === state.link.plain

// skipped reports whether nothing of a finished transfer was transferred: all its files were skipped.
export const skipped = j => j.state === 'done' && j.skipped > 0 && j.skipped >= j.files

// quoted names a transfer within a sentence.
const quoted = j => j.name ? (j.more > 0 ? n('gui.job.quoted', j.more, { name: j.name }) : t('gui.job.quoted', { name: j.name })) : n('gui.job.some', j.files)

// told says what came of a transfer, and where.
const told = j => {
  if (j.state === 'failed') return t('gui.job.failed', { name: label(j) })
  if (skipped(j)) return t('gui.job.done.skipped', { what: quoted(j) })
  return t(j.op === 'put' ? 'gui.job.done.put' : 'gui.job.done.get', { what: quoted(j), folder: last(sideOf(j), j.to_at) })
}

// sideOf is the side that a transfer writes to.
export const sideOf = j => j.op === 'put' ? 'remote' : 'local'

let heard = false // what was over before the page began is no news

// speeds are those of the last minute, one a second.
export const speeds = []
let measured = -1e9

function measure(jobs) {
  const now = performance.now() // a clock that nobody sets
  if (now - measured < 1000) return
  if (now - measured > 5000) speeds.length = 0
  measured = now
  speeds.push(jobs.reduce((x, j) => x + j.rate, 0))
  if (speeds.length > 60) speeds.shift()
}

const finished = s => s === 'done' || s === 'failed' || s === 'canceled'

function take(update) {
  // Another version of the program has taken this address: its own page replaces this one.
  if (update.version !== state.version) return location.reload()
  const before = new Map(state.jobs.map(j => [j.id, j.state]))
  const news = heard
  measure(update.jobs)
  heard = true
  const change = { jobs: update.jobs, limit: update.limit, lanes: update.lanes, lost: update.lost }
  // Ignore an event that was sent before this login.
  const left = state.entered && !update.entered && update.turn >= (state.link?.turn ?? 0)
  set(change)
  if (left && state.screen === 'join') state.entered = false
  else if (left) forget()
  for (const j of update.jobs) {
    if (!finished(j.state) || (before.has(j.id) ? finished(before.get(j.id)) : !news)) continue
    const name = label(j)
    if (j.state !== 'canceled') announce(told(j))
    if (j.state === 'done') {
      const show = mine(j) && !skipped(j) && { side: sideOf(j), path: j.to_at }
      notice(skipped(j) ? 'info' : 'done', told(j), '', { group: 'done', many: 'gui.job.done.many', name, show })
    }
    if (j.state === 'failed' && !state.drawer) notice('error', told(j), j.error?.what, { group: 'failed', many: 'gui.job.failed.many', name, ofJob: true })
  }
}

export async function begin() {
  document.documentElement.dataset.theme = state.theme
  onSessionOver(why => set({ over: why, ready: true }))
  const s = await get('state')
  use(lang() || s.lang, {})
  use(lang(), await get('texts'))
  set({
    version: s.version, profiles: s.profiles, profile: s.profile, home: s.home, roots: s.roots,
    link: s.link.logged_in ? s.link : null, entered: s.link.logged_in, ready: true,
  })
  const wanted = read()
  go(s.link.logged_in ? wanted.screen : s.profiles.length === 0 ? 'join' : 'login', { at: wanted.at })
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
