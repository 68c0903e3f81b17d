// The frame around the screens: banners, navigation, notices, language, theme.
import { render } from './vendor/preact.js'
import { useEffect } from './vendor/hooks.js'
import { Conflict } from './conflict.js'
import { Devices } from './devices.js'
import { Files } from './files.js'
import { keepFocus } from './focus.js'
import { Handshake } from './handshake.js'
import { Join } from './join.js'
import { Keys } from './keys.js'
import { Login } from './login.js'
import { Language, Settings, Theme } from './settings.js'
import { Sidebar } from './sidebar.js'
import { known, lang, n, percent, t } from './text.js'
import { Drawer } from './transfers.js'
import { Button, html, Icon, Trouble } from './ui.js'
import { Wire } from './wire.js'
import { post } from './api.js'
import { begin, dismiss, forget, set, state, tell, useStore, visit } from './store.js'

const screens = { join: Join, login: Login, files: Files, wire: Wire, handshake: Handshake, devices: Devices, settings: Settings }

async function logout() {
  try {
    await post('logout')
  } catch (e) {
    tell(e)
  }
  forget() // the next one may be somebody else
}

function Top() {
  const s = useStore()
  return html`<header class="top">
    ${s.entered && html`<${Button} short icon="menu" kind="quiet" class="button quiet only-narrow" label=${t('gui.nav.label')} aria-expanded=${s.menu ? 'true' : 'false'} aria-controls="sidebar" onClick=${() => set({ menu: !s.menu })} />`}
    <span class="brand"><img src="/web/icon.svg" alt="" width="24" height="24" /><span>hufu</span><span class="cn" lang="zh-CN">虎符</span></span>
    <span class="grow"></span>
    ${s.entered && s.link && html`<span class=${'who' + (s.lost ? ' away' : '')} title=${s.link.address}><${Icon} name=${s.lost ? 'circle-alert' : s.link.plain ? 'lock-open' : 'lock'} />${s.lost && html`<span>${t('gui.away')}</span>`}
      <bdi>${s.link.user}</bdi><span class="at">${s.link.address}</span></span>
      <${Button} icon="log-out" label=${t('gui.logout')} onClick=${logout} kind="quiet" />`}
    <span class="choose"><${Icon} name="globe" /><span class="short" aria-hidden="true">${lang() === 'en' ? 'EN' : '中文'}</span><${Language} /></span>
    <span class="choose"><${Icon} name="sun-moon" /><${Theme} /></span>
  </header>`
}

const Banners = () => {
  const s = useStore()
  return html`
    ${s.down && html`<div class="banner warn" role="alert">${t('gui.gone')} ${t('gui.gone.fix')}</div>`}
    ${s.screen !== 'login' && s.link?.plain && html`<div class="banner danger" role="alert"><strong>${t('gui.plain.title')}</strong> ${t('gui.plain.text')}</div>`}
    ${s.entered && s.lost && html`<div class="banner warn" role="status">${t('gui.lost', { what: s.lost.what })}</div>`}`
}

// Notices shows the newest message; errors before it wait until it is gone.
const Notices = () => {
  const s = useStore()
  const x = s.notices.at(-1)
  const errors = s.notices.filter(y => y.kind === 'error')
  const bad = x?.kind === 'error'
  const close = html`<${Button} short icon="x" kind="quiet" label=${t('gui.dismiss')} onClick=${() => dismiss(x.id)} />`
  return html`<div class="notices">
    <div role="status">${x && !bad && html`<div class=${'notice ' + x.kind} key=${x.id}><${Icon} name=${x.kind === 'done' ? 'check' : 'info'} /><bdi>${x.what}</bdi>${x.show && state.entered && html`<${Button} kind="quiet" label=${t('gui.notice.show')} onClick=${() => {
      dismiss(x.id)
      visit(x.show.side, x.show.path)
    }} />`}${close}</div>`}</div>
    <div role="alert">${bad && html`<div class="notice error" key=${x.id}><${Icon} name="circle-alert" /><div><strong><bdi>${x.what}</bdi></strong>${x.fix && html`<p>${x.fix}</p>`}
      ${errors.length > 1 && html`<${Button} kind="quiet" label=${n('gui.dismiss.all', errors.length)} onClick=${() => set({ notices: [] })} />`}</div>${close}</div>`}</div>
  </div>`
}

function Title() {
  const s = useStore()
  const some = s.jobs.filter(j => j.state === 'running')
  const bytes = some.reduce((x, j) => x + j.bytes, 0)
  const done = some.reduce((x, j) => x + j.bytes_done, 0)
  useEffect(() => {
    document.title = some.length > 0 ? `${percent(done, bytes)} · hufu` : 'hufu'
  })
  return null
}

function App() {
  const s = useStore()
  if (s.over) {
    return html`<main class="center"><div class="card"><h1>hufu</h1>
      <${Trouble} problem=${known('gui.over') ? { what: t('gui.over'), fix: t('gui.over.fix') } : s.over} /></div></main>`
  }
  if (!s.ready) return html`<main class="center"><p role="status">…</p></main>`
  const Screen = screens[s.screen] || Login
  return html`<${Title} /><${Top} /><${Banners} /><div class="frame">${s.entered && html`<${Sidebar} />`}<div class="column"><main class=${'screen ' + s.screen} id="main"><${Screen} /></main>${s.entered && html`<${Drawer} />`}</div></div><${Conflict} /><${Notices} /><${Keys} />`
}

// A file dropped beside a pane must not replace the page.
for (const kind of ['dragover', 'drop']) window.addEventListener(kind, e => e.preventDefault())

render(html`<${App} />`, document.getElementById('app'))
keepFocus(document.getElementById('app'))
begin().catch(e => {
  set({ ready: true, over: e })
  if (e.code !== 'gui_no_session') console.warn(e.message)
})
