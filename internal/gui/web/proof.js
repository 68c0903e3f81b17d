// The identities that the two sides have verified.
import { t, time } from './text.js'
import { html, Icon, Rows } from './ui.js'

const Cert = ({ title, of, more = [] }) => html`<section class="proof"><h3><${Icon} name="check" />${title}</h3><${Rows} of=${[
  ...more,
  [t('gui.proof.subject'), html`<bdi>${of.subject}</bdi>`], [t('gui.proof.issuer'), html`<bdi>${of.issuer}</bdi>`],
  [t('gui.proof.until'), time(Date.parse(of.not_after))], [t('gui.proof.key'), of.key], [t('gui.proof.serial'), html`<code>${of.serial}</code>`]]} /></section>`

export function Proof({ link }) {
  if (link.plain) return html`<p class="hint bad">${t('gui.proof.plain')}</p>`
  const p = link.proof
  if (!p) return null
  const server = p.peer?.[0]
  return html`<div class="proofs">
    ${server && html`<${Cert} title=${t('gui.proof.server')} of=${server} more=${[[t('gui.proof.name'), html`<bdi>${p.server_name || link.address.replace(/:\d+$/, '')}</bdi>`]]} />`}
    <${Cert} title=${t('gui.proof.you')} of=${p.own} more=${[[t('gui.proof.user'), html`<bdi>${p.own.user}</bdi>`], [t('gui.proof.device'), html`<bdi>${p.own.device}</bdi>`]]} />
    <section class="proof"><h3><${Icon} name="lock" />${t('gui.proof.session')}</h3><${Rows} of=${[
      [t('gui.proof.version'), p.version], [t('gui.proof.cipher'), p.cipher],
      [t('gui.proof.exchange'), p.post_quantum ? t('gui.proof.pq', { name: p.key_exchange }) : p.key_exchange],
      [t('gui.proof.ca'), html`<bdi>${p.root.subject}</bdi>`], [t('gui.proof.words'), html`<span class="words">${p.root.words.split(' ').slice(0, 8).join(' ')}</span>`]]} /></section>
  </div>`
}
