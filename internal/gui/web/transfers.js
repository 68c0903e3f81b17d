// Transfers: what runs, what waits, what went wrong.
import { useState } from './vendor/hooks.js'
import { post } from './api.js'
import { reopen } from './conflict.js'
import { label, tell, useStore } from './store.js'
import { duration, n, percent, rate, size, t } from './text.js'
import { Bar, Button, Confirm, html, Icon, Trouble } from './ui.js'

const moving = j => j.state === 'running' || j.state === 'spooling'
const over = j => ['done', 'failed', 'canceled'].includes(j.state)

const act = (id, what) => post('jobs/act', { id, act: what }).catch(tell)

// left is told when it is worth it: a rate that has nearly died says nothing.
function left(j) {
  const seconds = (j.bytes - j.bytes_done) / j.rate
  return j.rate > 0 && (j.planned || j.state === 'spooling') && seconds < 100 * 3600 ? duration(seconds) : ''
}

function Job({ job: j, ask }) {
  const [open, setOpen] = useState(false)
  const name = label(j)
  const done = j.state === 'done' ? 100 : percent(j.bytes_done, j.bytes)
  const facts = [
    j.state === 'running' && !j.planned ? t('gui.job.looking') : '',
    j.files > 1 ? t('gui.job.count', { done: j.files_done, total: j.files }) : '',
    j.bytes > 0 ? t('gui.job.bytes', { done: size(Math.max(0, j.bytes_done)), total: size(j.bytes) }) : '',
    moving(j) && j.rate > 0 ? rate(j.rate) : '',
    moving(j) && left(j) ? t('gui.job.left', { time: left(j) }) : '',
    j.state === 'running' && j.lanes > 0 ? n('gui.job.lanes', j.lanes) : '',
    j.resumed > 0 ? t('gui.job.resumed', { size: size(j.resumed) }) : '',
    over(j) && j.same > 0 ? n('gui.job.same', j.same) : '',
    over(j) && j.skipped > 0 ? n('gui.job.skipped', j.skipped) : '',
  ].filter(Boolean)
  return html`<li class=${'job ' + j.state} data-state=${j.state} data-name=${j.name}>
    <div class="job-top"><${Icon} name=${j.op === 'put' ? 'upload' : 'download'} /><span class="hidden">${t('gui.job.op.' + j.op)}</span>
      <strong class="job-name"><bdi>${name}</bdi></strong>
      <span class=${'state ' + j.state}>${j.question ? t('gui.state.asking') : t('gui.state.' + j.state)}</span>
      ${j.plain && html`<span class="state danger">${t('gui.plain.short')}</span>`}
      <span class="grow"></span>
      ${j.question && html`<${Button} kind="primary" label=${t('gui.job.answer')} onClick=${() => reopen(j)} />`}
      ${(j.state === 'running' || j.state === 'waiting' || j.state === 'offline') && html`<${Button} short icon="pause" label=${t('gui.job.pause', { name })} onClick=${() => act(j.id, 'pause')} />`}
      ${j.state === 'paused' && html`<${Button} short icon="play" label=${t('gui.job.resume', { name })} onClick=${() => act(j.id, 'resume')} />`}
      ${(j.state === 'failed' || j.state === 'canceled') && j.again && html`<${Button} short icon="rotate-cw" label=${t('gui.job.retry', { name })} onClick=${() => act(j.id, 'retry')} />`}
      ${over(j) ? html`<${Button} short icon="x" label=${t('gui.job.dismiss', { name })} onClick=${() => act(j.id, 'dismiss')} />`
        : html`<${Button} short icon="x" kind="danger-quiet" label=${t('gui.job.cancel', { name })} onClick=${() => ask(j, name)} />`}</div>
    <p class="route"><bdi>${j.from || t('gui.job.browser')}</bdi> → <bdi>${j.to}</bdi></p>
    ${!over(j) && html`<${Bar} done=${j.bytes_done} total=${j.bytes} kind=${j.state} label=${t('gui.job.progress', { name })} />`}
    <p class="facts-line">${!over(j) && html`<span class="pct">${done} %</span>`}${facts.map(f => html`<span>${f}</span>`)}</p>
    ${j.active.length > 0 && j.files > 1 && html`<ul class="active">${j.active.map(a => html`<li><bdi>${a.name}</bdi> <span>${percent(a.done, a.size)} %</span></li>`)}</ul>`}
    ${j.state === 'spooling' && html`<p class="hint">${t('gui.spool.stay')}</p>`}
    ${j.error && html`<${Trouble} problem=${j.error} />`}
    ${j.failed > 0 && (j.failures.length > 1 || j.error?.code === 'some_failed') && html`<${Button} kind="quiet" aria-expanded=${open ? 'true' : 'false'} label=${n('gui.job.failures', j.failed)} onClick=${() => setOpen(!open)} />
      ${open && html`<ul class="failures">${j.failures.map(f => html`<li><bdi>${f.name}</bdi><p>${f.error.what}</p>${f.error.fix && html`<p class="hint">${f.error.fix}</p>`}</li>`)}</ul>`}`}
  </li>`
}

export function Transfers() {
  const s = useStore()
  const [ask, setAsk] = useState(null)
  const live = s.jobs.filter(j => !over(j))
  const bytes = live.reduce((x, j) => x + j.bytes, 0)
  const done = live.reduce((x, j) => x + Math.max(0, j.bytes_done), 0)
  const speed = live.reduce((x, j) => x + j.rate, 0)
  const cancel = (j, name) => setAsk(html`<${Confirm} danger title=${t('gui.cancel.title')} text=${j.state === 'paused' && j.op === 'put' ? t('gui.cancel.paused', { name }) : t('gui.cancel.text', { name })} yes=${t('gui.cancel.button')}
    onClose=${() => setAsk(null)} onYes=${async () => {
      await post('jobs/act', { id: j.id, act: 'cancel' })
      setAsk(null)
    }} />`)
  return html`<div class="transfers-head"><h1>${t('gui.nav.transfers')}</h1><span class="grow"></span>
      ${s.jobs.some(j => j.state === 'failed' && j.again) && html`<${Button} icon="rotate-cw" label=${t('gui.job.retry.all')} onClick=${() => act('', 'retry')} />`}
      ${s.jobs.some(j => j.state === 'done' || j.state === 'canceled') && html`<${Button} icon="x" label=${t('gui.job.dismiss.all')} onClick=${() => act('', 'dismiss')} />`}</div>
    ${live.length > 0 && html`<div class="total"><${Bar} done=${done} total=${bytes} label=${t('gui.job.total')} />
      <p class="facts-line"><span class="pct">${percent(done, bytes)} %</span><span>${t('gui.job.bytes', { done: size(done), total: size(bytes) })}</span>
        ${speed > 0 && html`<span>${rate(speed)}</span>`}${speed > 0 && html`<span>${t('gui.job.left', { time: duration((bytes - done) / speed) })}</span>`}</p></div>`}
    ${s.jobs.length === 0 ? html`<p class="empty">${t('gui.job.none')}</p>` : html`<ul class="jobs">${s.jobs.map(j => html`<${Job} key=${j.id} job=${j} ask=${cancel} />`)}</ul>`}${ask}`
}
