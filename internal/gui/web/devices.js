// Devices: where the user is enrolled, and how one goes and another comes.
import { useEffect, useRef, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { forget, notice, useStore } from './store.js'
import { t, time } from './text.js'
import { Button, Dialog, html, Icon, Trouble, useBusy } from './ui.js'

const refreshEvery = 15000

const short = serial => serial.length > 12 ? serial.slice(0, 12) + '…' : serial

const Password = ({ value, onInput }) => html`<label class="field"><span>${t('gui.devices.password')}</span>
  <input type="password" value=${value} onInput=${e => onInput(e.target.value)} autocomplete="current-password" required autofocus aria-describedby="devices-why" /></label>
  <p class="hint" id="devices-why">${t('gui.devices.password.hint')}</p>`

// Removal asks for the password, and once more if it is the last way in.
function Removal({ device, onDone, onClose }) {
  const [password, setPassword] = useState('')
  const [last, setLast] = useState(false)
  const { busy, problem, run, setProblem } = useBusy()
  const submit = e => {
    e.preventDefault()
    run(async () => {
      try {
        await post('devices/remove', { device: device.name, password, last })
        onDone()
      } catch (why) {
        if (why.code === 'device_last') setLast(true)
        throw why
      }
    })
  }
  return html`<${Dialog} title=${t(device.this ? 'gui.devices.remove.this.title' : 'gui.devices.remove.title', { name: device.name })} onClose=${onClose}>
    <form onSubmit=${submit}>
      <p>${t(device.this ? 'gui.devices.remove.this.text' : 'gui.devices.remove.text')}</p>
      <p class="hint">${t('gui.devices.remove.codes')}</p>
      <${Password} value=${password} onInput=${v => {
        setPassword(v)
        if (!last) setProblem(null)
      }} />
      ${last ? html`<div class="trouble" role="alert"><strong>${t('gui.devices.last')}</strong><p>${t('gui.devices.last.fix')}</p></div>` : html`<${Trouble} problem=${problem} />`}
      ${last && problem && problem.code !== 'device_last' && html`<${Trouble} problem=${problem} />`}
      <div class="buttons"><${Button} label=${t('gui.cancel')} onClick=${onClose} />
        <${Button} type="submit" icon="trash-2" kind="danger" disabled=${busy || !password} label=${t(last ? 'gui.devices.remove.last' : 'gui.devices.remove.button')} /></div>
    </form></${Dialog}>`
}

// Invitation shows a code and its picture, which the program has drawn.
function Shown({ of: v, onClose }) {
  const field = useRef()
  const [copied, setCopied] = useState(false)
  const copy = () => {
    field.current.select() // what cannot be copied by a button can be by hand
    navigator.clipboard.writeText(v.code).then(() => setCopied(true), () => {})
  }
  return html`<${Dialog} wide title=${t('gui.devices.add.title')} onClose=${onClose}>
    <div class="invited"><svg class="qr" role="img" aria-label=${t('gui.devices.add.picture')} viewBox=${`0 0 ${v.size} ${v.size}`} shape-rendering="crispEdges"><path d=${v.path} /></svg>
      <div><ol><li>${t('gui.devices.add.step1')}</li><li>${t('gui.devices.add.step2')}</li><li>${t('gui.devices.add.step3')}</li></ol>
        <p class="hint">${t('gui.devices.add.until', { time: time(v.expires) })}</p></div></div>
    ${v.loopback && html`<div class="trouble warned" role="status"><strong>${t('gui.devices.add.loopback', { host: v.host })}</strong></div>`}
    <label class="field"><span>${t('gui.join.code')}</span><textarea rows="3" readonly ref=${field} value=${v.code} spellcheck="false" onFocus=${e => e.target.select()}></textarea></label>
    <p class="hint">${t('gui.join.words')}: <span class="words">${v.words}</span></p>
    <div class="buttons"><${Button} kind="primary" icon=${copied ? 'check' : 'copy'} label=${t(copied ? 'gui.devices.copied' : 'gui.devices.copy')} onClick=${copy} />
      <${Button} label=${t('gui.close')} onClick=${onClose} /></div></${Dialog}>`
}

function Adding({ onClose }) {
  const [password, setPassword] = useState('')
  const [made, setMade] = useState(null)
  const { busy, problem, run } = useBusy()
  if (made) return html`<${Shown} of=${made} onClose=${onClose} />`
  const submit = e => {
    e.preventDefault()
    run(async () => setMade(await post('devices/invite', { password })))
  }
  return html`<${Dialog} title=${t('gui.devices.add.title')} onClose=${onClose}>
    <form onSubmit=${submit}><p>${t('gui.devices.add.text')}</p>
      <${Password} value=${password} onInput=${setPassword} />
      <${Trouble} problem=${problem} />
      <div class="buttons"><${Button} label=${t('gui.cancel')} onClick=${onClose} />
        <${Button} type="submit" kind="primary" disabled=${busy || !password} label=${t('gui.devices.add.button')} /></div></form></${Dialog}>`
}

const Row = ({ device: d, why, onRemove }) => html`<li class=${'device ' + d.state} data-device=${d.name}>
  <span class="device-icon"><${Icon} name=${d.this ? 'laptop' : 'monitor'} /></span>
  <div class="device-what"><strong><bdi>${d.name}</bdi></strong>${d.this && html` <span class="state">${t('gui.devices.this')}</span>`}
    ${d.state !== 'active' && html` <span class="state danger">${t('gui.devices.state.' + d.state)}</span>`}
    <dl><div><dt>${t('gui.devices.seen')}</dt><dd>${d.this ? t('gui.devices.now') : time(d.seen)}</dd></div>
      <div><dt>${t('gui.devices.since')}</dt><dd>${time(d.issued)}</dd></div>
      <div><dt>${t('gui.proof.until')}</dt><dd>${d.renews ? t('gui.devices.renewed', { time: time(d.expires) }) : time(d.expires)}</dd></div>
      <div><dt>${t('gui.proof.serial')}</dt><dd><code title=${d.serial}>${short(d.serial)}</code></dd></div></dl></div>
  <${Button} icon="trash-2" kind="danger-quiet" label=${t('gui.devices.remove')} aria-label=${t('gui.devices.remove.named', { name: d.name })} why=${why} onClick=${() => onRemove(d)} /></li>`

export function Devices() {
  const s = useStore()
  const [all, setAll] = useState(null)
  const [problem, setProblem] = useState(null)
  const [ask, setAsk] = useState(null)
  const load = () => post('devices').then(a => {
    setAll(a)
    setProblem(null)
  }, setProblem)
  useEffect(() => {
    load()
    const timer = setInterval(() => document.visibilityState === 'visible' && load(), refreshEvery)
    return () => clearInterval(timer)
  }, [])
  const away = s.lost || problem?.kind === 'network' || problem?.kind === 'unavailable'
  const why = away ? t('gui.why.away') : !all ? problem?.what || '' : ''
  const close = () => setAsk(null)
  const remove = device => setAsk(html`<${Removal} device=${device} onClose=${close} onDone=${() => {
    close()
    if (device.this) return forget()
    notice('done', t('gui.devices.removed', { name: device.name }))
    load()
  }} />`)
  const add = () => setAsk(html`<${Adding} onClose=${() => {
    close()
    load()
  }} />`)
  return html`<div class="page narrow devices"><div class="page-head"><h1>${t('gui.nav.devices')}</h1>
      <${Button} icon="laptop" kind="primary" label=${t('gui.devices.add')} disabled=${!all && !problem} why=${why || (all && !all.invites ? t('gui.devices.administrator') : '')} onClick=${add} /></div>
    <p>${t('gui.devices.text')}</p>
    ${all && !all.invites && html`<p class="hint">${t('gui.devices.administrator')}</p>`}
    ${problem && !(away && all) && html`<${Trouble} problem=${problem}><div class="buttons"><${Button} icon="rotate-cw" label=${t('gui.retry')} onClick=${load} /></div></${Trouble}>`}
    ${!all && !problem && html`<p role="status" class="hint">${t('gui.devices.reading')}</p>`}
    ${all && html`<ul class=${'device-list' + (away ? ' stale' : '')}>${all.devices.map(d => html`<${Row} key=${d.name} device=${d} why=${why} onRemove=${remove} />`)}</ul>`}
    ${ask}</div>`
}
