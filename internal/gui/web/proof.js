// The identities that the two sides have verified: three ticks, and what stands
// behind each.
import { list, t, time } from './text.js'
import { html, Icon, Rows } from './ui.js'

const certificate = of => [
  [t('gui.proof.subject'), html`<bdi>${of.subject}</bdi>`], [t('gui.proof.issuer'), html`<bdi>${of.issuer}</bdi>`],
  [t('gui.proof.names'), of.names?.length > 0 && html`<bdi>${list(of.names)}</bdi>`],
  [t('gui.proof.until'), time(Date.parse(of.not_after))], [t('gui.proof.key'), of.key], [t('gui.proof.serial'), html`<code>${of.serial}</code>`]]

const Tick = ({ title, what, rows, waiting }) => html`<li class=${'proof' + (waiting ? ' waiting' : '')}><${Icon} name=${waiting ? 'ellipsis' : 'circle-check'} />
  <div><strong>${title}</strong><p><bdi>${what}</bdi></p>${rows && html`<details><summary>${t('gui.proof.details')}</summary><${Rows} of=${rows} /></details>`}</div></li>`

export function Proof({ link, loading, address }) {
  if (loading) {
    return html`<ul class="ticks"><${Tick} waiting title=${t('gui.proof.server')} what=${t('gui.login.connecting', { address })} />
      <${Tick} waiting title=${t('gui.proof.you')} /><${Tick} waiting title=${t('gui.proof.session')} /></ul>`
  }
  if (link.plain) return html`<p class="hint bad">${t('gui.proof.plain')}</p>`
  const p = link.proof
  if (!p) return null
  const server = p.peer?.[0]
  const name = p.server_name || link.address.replace(/:\d+$/, '')
  return html`<ul class="ticks proofs">
    ${server && html`<${Tick} title=${t('gui.proof.server')} what=${name} rows=${certificate(server)} />`}
    <${Tick} title=${t('gui.proof.you')} what=${t('gui.chain.user', { user: p.own.user, device: p.own.device })} rows=${certificate(p.own)} />
    <${Tick} title=${t('gui.proof.session')} what=${p.post_quantum ? t('gui.proof.pq', { name: p.version }) : p.version} rows=${[
      [t('gui.proof.cipher'), p.cipher], [t('gui.proof.exchange'), p.key_exchange], [t('gui.proof.ca'), html`<bdi>${p.root.subject}</bdi>`],
      [t('gui.proof.words'), html`<span class="words">${p.root.words.split(' ').slice(0, 8).join(' ')}</span>`]]} /></ul>`
}
