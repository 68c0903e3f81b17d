// Handshake: how each side was verified, step by step, and a drawing of the
// chains.
import { useEffect, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { Security } from './security.js'
import { go, useStore } from './store.js'
import { lang, list, t, time } from './text.js'
import { Button, html, Icon, Trouble, useBusy } from './ui.js'

const Box = ({ cert, role }) => html`<div class=${'cert ' + role}><strong>${t('gui.chain.' + role)}</strong><bdi>${cert.subject}</bdi>
  ${!cert.user && role !== 'root' && role !== 'issuing' && cert.names?.length > 0 && html`<span><bdi>${list(cert.names)}</bdi></span>`}${cert.user && html`<span><bdi>${t('gui.chain.user', { user: cert.user, device: cert.device })}</bdi></span>`}
  <span class="hint">${t('gui.chain.until', { time: time(Date.parse(cert.not_after)) })}</span><span class="hint">${t('gui.chain.fingerprint')} <code>${cert.fingerprint.slice(0, 16)}…</code></span></div>`

// Chain draws from the CA down to the leaf: who has signed whom.
function Chain({ title, leaf, certs, trusted }) {
  if (!certs || certs.length === 0) return html`<div class="chain"><h3>${title}</h3><p class="hint">${t('gui.chain.none')}</p></div>`
  const last = certs.at(-1)
  const anchor = (trusted || []).find(c => c.subject === last.issuer && c.fingerprint !== last.fingerprint)
  const own = (trusted || []).some(c => c.fingerprint === last.fingerprint)
  const up = [...certs].reverse()
  return html`<div class="chain"><h3>${title}</h3><ol>
    ${anchor && html`<li><${Box} cert=${anchor} role="root" /></li>`}
    ${!anchor && !own && html`<li><div class="cert unknown"><strong>${t('gui.chain.unknown')}</strong><bdi>${last.issuer}</bdi></div></li>`}
    ${up.map((c, i) => html`<li><span class="signs"><span aria-hidden="true">↓</span> ${(i > 0 || anchor || !own) && t('gui.chain.signs')}</span>
      <${Box} cert=${c} role=${i === up.length - 1 ? leaf : c.subject === c.issuer ? 'root' : 'issuing'} /></li>`)}</ol></div>`
}

const Steps = ({ steps, title }) => steps.length > 0 && html`<section class="steps"><h2>${title}</h2><ol>${steps.map(s => html`
  <li class=${s.ok ? 'good' : 'bad'} data-step=${s.step} data-ok=${s.ok ? 'yes' : 'no'}><${Icon} name=${s.ok ? 'check' : 'x'} />
    <div><strong><span class="number">${s.step}</span> ${s.what}</strong><span class="hidden">${s.ok ? t('gui.step.ok') : t('gui.step.failed')}</span>
      <p>${s.why}</p>${s.fix && html`<p class="fix">${s.fix}</p>`}</div></li>`)}</ol></section>`

export function Handshake() {
  const s = useStore()
  const profile = s.link?.profile || s.profile
  const [told, setTold] = useState(null)
  const { busy, problem, run } = useBusy()
  const look = () => run(async () => {
    setTold(null)
    setTold(await post('explain', { profile }))
  })
  // The proof of another connection would say nothing of this one.
  const plain = s.entered && s.link?.plain
  useEffect(() => { if (!plain) look() }, [profile, plain, lang()])
  if (plain) {
    return html`<div class="page"><${Security} /><h1>${t('gui.handshake.title')}</h1>
      <p role="status" class="verdict bad"><${Icon} name="lock-open" />${t('gui.handshake.plain')}</p><p>${t('gui.handshake.plain.fix')}</p></div>`
  }
  const of = side => told.steps.filter(x => x.side === side)
  return html`<div class="page"><${Security} /><div class="transfers-head"><h1>${t('gui.handshake.title')}</h1><span class="grow"></span>
      ${!s.entered && html`<${Button} label=${t('gui.back')} onClick=${() => go('login')} />`}<${Button} icon="rotate-cw" label=${t('gui.handshake.again')} disabled=${busy} onClick=${look} /></div>
    <p>${t('gui.handshake.text')}</p>
    <${Trouble} problem=${problem} />
    ${busy && !told && html`<p role="status">${t('gui.handshake.running')}</p>`}
    ${told && html`
      <p role="status" class=${told.steps.every(x => x.ok) ? 'verdict good' : 'verdict bad'}><${Icon} name=${told.steps.every(x => x.ok) ? 'check' : 'x'} />${
        told.verdict === 'unproven' ? t('gui.handshake.unproven') : told.verdict === 'refused' ? t('gui.handshake.refused') : t('gui.handshake.proven', { address: told.address })}</p>
      <div class="chains"><${Chain} title=${t('gui.chain.title.server')} leaf="server" certs=${told.server} trusted=${told.trusted} />
        <div class="between">${told.session && html`<${Icon} name="lock" /><span>${told.session.version}</span><span>${told.session.cipher}</span><span>${told.session.key_exchange}</span>`}</div>
        <${Chain} title=${t('gui.chain.title.client')} leaf="client" certs=${told.client} trusted=${told.trusted} /></div>
      <div class="sides"><${Steps} steps=${of('server')} title=${t('gui.handshake.server')} /><${Steps} steps=${of('client')} title=${t('gui.handshake.client')} /></div>`}</div>`
}
