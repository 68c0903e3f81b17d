// Settings: what this browser shows and how.
import { useEffect, useState } from './vendor/hooks.js'
import { get, post } from './api.js'
import { set, setHidden, setLang, setNotify, setTheme, tell, useStore } from './store.js'
import { lang, rate, t } from './text.js'
import { Button, html } from './ui.js'

export const Language = () => html`<select aria-label=${t('gui.language')} title=${t('gui.language')} value=${lang()} onChange=${e => setLang(e.target.value).catch(why => {
  e.target.value = lang()
  tell(why)
})}><option value="en" lang="en">English</option><option value="zh-CN" lang="zh-CN">中文</option></select>`

export function Theme() {
  const s = useStore()
  return html`<select aria-label=${t('gui.theme')} title=${t('gui.theme')} value=${s.theme} onChange=${e => setTheme(e.target.value)}>
    ${['auto', 'light', 'dark'].map(x => html`<option value=${x}>${t('gui.theme.' + x)}</option>`)}</select>`
}

const limits = [0, 128, 512, 1024, 2048, 5120, 10240, 51200].map(k => k * 1024)

// Choice is a list of numbers of which one is kept by the program, under the same name in its interface.
function Choice({ label, value, all, words, put }) {
  const offered = [...new Set([...all, value])].sort((a, b) => a - b)
  return html`<select aria-label=${label} value=${String(value)} onChange=${e => put(Number(e.target.value)).catch(why => {
    e.target.value = String(value)
    tell(why)
  })}>${offered.map(x => html`<option value=${String(x)}>${words(x)}</option>`)}</select>`
}

const Setting = ({ title, hint, children }) => html`<div class="setting"><strong>${title}</strong><span class="control">${children}</span>${hint && html`<p class="hint">${hint}</p>`}</div>`

function Autostart() {
  const [start, setStart] = useState(null)
  useEffect(() => { get('autostart').then(setStart, tell) }, [])
  return html`<input type="checkbox" aria-label=${t('gui.settings.autostart')} checked=${Boolean(start?.on)} disabled=${!start?.possible} onChange=${e => {
    const on = e.target.checked
    e.target.checked = start.on // until it is so
    post('autostart', { on }).then(setStart, tell)
  }} />`
}

export function Settings() {
  const s = useStore()
  return html`<div class="page narrow settings"><h1>${t('gui.nav.settings')}</h1>
    <h2>${t('gui.settings.look')}</h2>
    <${Setting} title=${t('gui.language')} hint=${t('gui.language.hint')}><${Language} /></${Setting}>
    <${Setting} title=${t('gui.theme')} hint=${t('gui.theme.hint')}><${Theme} /></${Setting}>
    <${Setting} title=${t('gui.settings.hidden')} hint=${t('gui.settings.hidden.hint')}><input type="checkbox" aria-label=${t('gui.settings.hidden')} checked=${s.hidden} onChange=${e => setHidden(e.target.checked)} /></${Setting}>
    <${Setting} title=${t('gui.keys.title')} hint=${t('gui.keys.hint')}><${Button} icon="keyboard" label=${t('gui.keys.show')} onClick=${() => set({ keys: true })} /></${Setting}>
    <h2>${t('gui.nav.transfers')}</h2>
    <${Setting} title=${t('gui.settings.notify')} hint=${t('gui.settings.notify.hint')}><input type="checkbox" aria-label=${t('gui.settings.notify')} checked=${s.notify} onChange=${e => {
      const on = e.target.checked
      e.target.checked = s.notify // until the browser has agreed
      setNotify(on)
    }} /></${Setting}>
    <${Setting} title=${t('gui.settings.limit')} hint=${t('gui.settings.limit.hint')}><${Choice} label=${t('gui.settings.limit')} value=${s.limit} all=${limits} words=${x => x ? rate(x) : t('gui.settings.limit.none')} put=${bytes => post('limit', { bytes })} /></${Setting}>
    <${Setting} title=${t('gui.settings.lanes')} hint=${t('gui.settings.lanes.hint')}><${Choice} label=${t('gui.settings.lanes')} value=${s.lanes} all=${[0, 1, 2, 4, 8, 16, 32]} words=${x => x || t('gui.settings.lanes.auto')} put=${lanes => post('lanes', { lanes })} /></${Setting}>
    <h2>${t('gui.files.local')}</h2>
    <${Setting} title=${t('gui.settings.autostart')} hint=${t('gui.settings.autostart.hint')}><${Autostart} /></${Setting}>
    <p class="hint">${t('gui.settings.version', { version: s.version })}</p></div>`
}
