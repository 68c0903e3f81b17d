// Security: how the two sides were verified, and what an eavesdropper reads.
import { go, useStore } from './store.js'
import { t } from './text.js'
import { html } from './ui.js'

export function Security() {
  const s = useStore()
  if (!s.entered) return null
  return html`<nav class="tabs" aria-label=${t('gui.nav.security')}>${['handshake', 'wire'].map(x => html`
    <a href=${'#/' + x} aria-current=${s.screen === x ? 'page' : undefined} onClick=${e => {
      e.preventDefault()
      go(x)
    }}>${t('gui.nav.' + x)}</a>`)}</nav>`
}
