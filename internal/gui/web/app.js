// The frame around the screens: banners, navigation, notices, language, theme.
import { render } from './vendor/preact.js'
import { useEffect } from './vendor/hooks.js'
import { Conflict } from './conflict.js'
import { Files } from './files.js'
import { Handshake } from './handshake.js'
import { Join } from './join.js'
import { Login } from './login.js'
import { known, lang, percent, t } from './text.js'
import { Transfers } from './transfers.js'
import { Button, html, Icon, Trouble } from './ui.js'
import { Wire } from './wire.js'
import { post } from './api.js'
import { begin, dismiss, go, set, setLang, setTheme, state, tell, useStore } from './store.js'

const screens = { join: Join, login: Login, files: Files, transfers: Transfers, wire: Wire, handshake: Handshake }

const titles = () => ({
  files: t('gui.nav.files'), transfers: t('gui.nav.transfers'), wire: t('gui.nav.wire'), handshake: t('gui.nav.handshake'),
})

const running = j => ['running', 'waiting', 'offline', 'spooling'].includes(j.state)

async function logout() {
  try {
    await post('logout')
  } catch (e) {
    tell(e)
  }
  sessionStorage.removeItem('hufu-remote') // the next one may be somebody else
  set({ entered: false, link: null })
  go('login')
}

function Top() {
  const s = useStore()
  const open = s.jobs.filter(running).length
  const asking = s.jobs.some(j => j.question)
  const names = titles()
  const tabs = s.entered ? ['files', 'transfers', 'wire', 'handshake'] : []
  return html`<header class="top">
    <span class="brand"><img src="/web/icon.svg" alt="" width="24" height="24" /><span>hufu</span><span class="cn" lang="zh-CN">虎符</span></span>
    <nav aria-label=${t('gui.nav.label')}>${tabs.map(k => html`
      <a href=${'#/' + k} aria-current=${s.screen === k ? 'page' : undefined} onClick=${e => {
        e.preventDefault()
        go(k)
      }}>${names[k]}${k === 'transfers' && open > 0 && html`<span class="badge">${open}</span>`}${k === 'transfers' && asking && html`<span class="badge ask">?</span>`}</a>`)}</nav>
    <span class="grow"></span>
    ${s.entered && s.link && html`<span class=${'who' + (s.lost ? ' away' : '')} title=${s.link.address}><${Icon} name=${s.lost ? 'other' : s.link.plain ? 'unlock' : 'lock'} />${s.lost && html`<span>${t('gui.away')}</span>`}
      <bdi>${s.link.user}</bdi><span class="at">${s.link.address}</span></span>
      <${Button} label=${t('gui.logout')} onClick=${logout} kind="quiet" />`}
    <label class="choose"><span class="hidden">${t('gui.language')}</span>
      <select value=${lang()} onChange=${e => setLang(e.target.value).catch(why => {
        e.target.value = lang()
        tell(why)
      })}>
        <option value="en" lang="en">English</option><option value="zh-CN" lang="zh-CN">中文</option></select></label>
    <label class="choose"><span class="hidden">${t('gui.theme')}</span>
      <select value=${s.theme} onChange=${e => setTheme(e.target.value)}>
        <option value="auto">${t('gui.theme.auto')}</option><option value="light">${t('gui.theme.light')}</option>
        <option value="dark">${t('gui.theme.dark')}</option></select></label>
  </header>`
}

const Banners = () => {
  const s = useStore()
  return html`
    ${s.down && html`<div class="banner warn" role="alert">${t('gui.gone')} ${t('gui.gone.fix')}</div>`}
    ${s.link?.plain && html`<div class="banner danger" role="alert"><strong>${t('gui.plain.title')}</strong> ${t('gui.plain.text')}</div>`}
    ${s.entered && s.lost && html`<div class="banner warn" role="status">${t('gui.lost', { what: s.lost.what })}</div>`}`
}

const Notices = () => {
  const s = useStore()
  return html`<div class="notices">
    <div role="status">${s.notices.filter(x => x.kind !== 'error').map(x => html`<div class="notice done" key=${x.id}>
      <${Icon} name="check" /><bdi>${x.what}</bdi><${Button} short icon="close" kind="quiet" label=${t('gui.dismiss')} onClick=${() => dismiss(x.id)} /></div>`)}</div>
    <div role="alert">${s.notices.filter(x => x.kind === 'error').map(x => html`<div class="notice error" key=${x.id}>
      <${Icon} name="other" /><div><strong><bdi>${x.what}</bdi></strong>${x.fix && html`<p>${x.fix}</p>`}</div>
      <${Button} short icon="close" kind="quiet" label=${t('gui.dismiss')} onClick=${() => dismiss(x.id)} /></div>`)}</div>
  </div>`
}

function Title() {
  const s = useStore()
  const some = s.jobs.filter(j => j.state === 'running')
  const bytes = some.reduce((x, j) => x + j.bytes, 0)
  const done = some.reduce((x, j) => x + j.bytes_done, 0)
  useEffect(() => {
    document.title = some.length > 0 ? `${percent(done, bytes)}% · hufu` : 'hufu'
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
  return html`<${Title} /><${Top} /><${Banners} /><main class=${'screen ' + s.screen} id="main"><${Screen} /></main><${Conflict} /><${Notices} />`
}

window.addEventListener('hashchange', () => {
  const screen = location.hash.replace(/^#\//, '')
  if (state.entered && screens[screen]) set({ screen })
})
// A file dropped beside a pane must not replace the page.
for (const kind of ['dragover', 'drop']) window.addEventListener(kind, e => e.preventDefault())

render(html`<${App} />`, document.getElementById('app'))
begin().catch(e => {
  set({ ready: true, over: e })
  if (e.code !== 'gui_no_session') console.warn(e.message)
})
