// The sidebar: the places of the server and of this computer, and the screens.
import { inside, place, shared } from './places.js'
import { go, set, state, useStore, visit } from './store.js'
import { t } from './text.js'
import { html, Icon } from './ui.js'

const Place = ({ href, icon, label, current, onGo, why }) => why
  ? html`<span class="nav-off" title=${why}><${Icon} name=${icon} /><span>${label}</span><span class="hidden">${why}</span></span>`
  : html`<a href=${href} aria-current=${current ? 'page' : undefined} onClick=${e => {
    e.preventDefault()
    set({ menu: false })
    onGo()
  }}><${Icon} name=${icon} /><span>${label}</span></a>`

export function Sidebar() {
  const s = useStore()
  const files = s.screen === 'files'
  const inShared = inside(s.at.remote, shared)
  const here = place('local', s.at.local)
  const screen = (name, icon, label, also = false) => html`<${Place} href=${'#/' + name} icon=${icon} label=${label} current=${s.screen === name || also} onGo=${() => go(name)} />`
  return html`<nav class=${'sidebar' + (s.menu ? ' open' : '')} aria-label=${t('gui.nav.label')} id="sidebar" onKeyDown=${e => e.key === 'Escape' && state.menu && set({ menu: false })}>
    <h2>${t('gui.files.remote')}</h2>
    <${Place} href="#/files" icon="folder" label=${t('gui.files.mine')} current=${files && s.side === 'remote' && !inShared} onGo=${() => visit('remote', '/')} />
    <${Place} href=${'#/files' + shared} icon="users" label=${t('gui.files.shared')} current=${files && s.side === 'remote' && inShared} why=${s.shared ? '' : t('gui.why.shared')} onGo=${() => visit('remote', shared)} />
    <h2>${t('gui.files.local')}</h2>
    <${Place} href="#/files" icon="house" label=${t('gui.files.home')} current=${files && s.side === 'local' && here.root === s.home} onGo=${() => visit('local', s.home)} />
    ${s.roots.map(r => html`<${Place} key=${r} href="#/files" icon="hard-drive" label=${r === '/' ? t('gui.files.disk') : r.slice(1)} current=${files && s.side === 'local' && here.root === r} onGo=${() => visit('local', r)} />`)}
    <hr />
    ${screen('handshake', 'shield-check', t('gui.nav.security'), s.screen === 'wire')}
    ${s.link?.plain ? html`<${Place} icon="laptop" label=${t('gui.nav.devices')} why=${t('error.devices_teaching')} />` : screen('devices', 'laptop', t('gui.nav.devices'))}
    ${screen('settings', 'settings', t('gui.nav.settings'))}
  </nav>`
}
