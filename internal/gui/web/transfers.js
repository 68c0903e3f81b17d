// Transfers: a drawer below every screen. What runs, what needs somebody, what
// is over.
import { useState } from './vendor/hooks.js'
import { post } from './api.js'
import { reopen } from './conflict.js'
import { trail } from './places.js'
import { label, mine, setDrawer, sideOf, skipped, speeds, state, tell, useStore, visit } from './store.js'
import { duration, n, percent, rate, size, t, time } from './text.js'
import { Bar, Button, Confirm, html, Icon, Trouble } from './ui.js'

const moving = j => j.state === 'running' || j.state === 'spooling'
const over = j => ['done', 'failed', 'canceled'].includes(j.state)
const stops = j => ['running', 'waiting', 'offline'].includes(j.state)

const act = (id, what) => post('jobs/act', { id, act: what }).catch(tell)
const all = (jobs, what) => Promise.all(jobs.map(j => act(j.id, what)))

const groupOf = j => !mine(j) ? 'other' : j.question || j.state === 'failed' ? 'attention' : over(j) ? 'done' : 'active'

// flows reports whether the speed means something: at first, bytes only fill buffers, and the bar
// stays where it is.
const flows = j => j.rate > 0 && j.bytes_done > j.resumed

// remaining is the time that so many bytes need, at least a second.
const remaining = (bytes, rate) => t('gui.job.left', { time: duration(Math.max(1, bytes / rate)) })

// left returns the remaining time, or "" if the rate is too low to predict it.
function left(j) {
  const seconds = (j.bytes - j.bytes_done) / j.rate
  return flows(j) && (j.planned || j.state === 'spooling') && seconds < 100 * 3600 ? remaining(j.bytes - j.bytes_done, j.rate) : ''
}

function facts(j) {
  if (skipped(j)) return [t('gui.job.skipped.all'), time(j.ended)]
  const all = over(j) ? [
    t('gui.state.' + j.state), j.bytes > 0 && size(j.bytes), j.files > 1 && t('gui.job.count', { done: j.files_done, total: j.files }),
    j.state === 'done' && t('gui.job.took', { time: duration((j.ended - j.created) / 1000) }), time(j.ended),
    j.same > 0 && n('gui.job.same', j.same), j.skipped > 0 && n('gui.job.skipped', j.skipped),
  ] : [
    j.question ? t('gui.state.asking') : moving(j) ? '' : t('gui.state.' + j.state), j.state === 'running' && !j.planned && t('gui.job.planning'),
    j.bytes > 0 && t('gui.job.bytes', { done: size(Math.max(0, j.bytes_done)), total: size(j.bytes) }),
    j.files > 1 && t('gui.job.count', { done: j.files_done, total: j.files }),
    moving(j) && flows(j) && rate(j.rate), moving(j) && left(j),
    j.state === 'running' && j.lanes > 0 && n('gui.job.lanes', j.lanes), j.state === 'spooling' && t('gui.state.spooling'),
  ]
  return [...all, j.resumed > 0 && t('gui.job.resumed', { size: size(j.resumed) })].filter(Boolean)
}

// more says that others wait before this one.
function Job({ job: j, ask, more }) {
  const [open, setOpen] = useState(false)
  const name = label(j)
  const put = j.op === 'put'
  const own = mine(j)
  const owner = !own && state.profiles.find(p => p.name === j.profile)
  const none = skipped(j)
  const from = j.browser || !j.from_at ? t('gui.job.browser') : trail(put ? 'local' : 'remote', j.from_at)
  const Act = (what, icon, kind, onClick) => html`<${Button} icon=${icon} kind=${kind} label=${t('gui.act.' + what)} aria-label=${t('gui.job.' + what, { name })} why=${own || what !== 'show' ? '' : t('gui.why.other')} onClick=${onClick} />`
  const many = j.failed > 0 && (j.failures.length > 1 || j.error?.code === 'some_failed')
  return html`<li class=${'job ' + j.state} data-state=${j.state} data-name=${j.name}>
    <div class="job-row"><span class=${'job-icon ' + (j.question ? 'failed' : none ? 'canceled' : j.state)}><${Icon} name=${{ done: none ? 'info' : 'circle-check', failed: 'circle-x' }[j.state] || (put ? 'upload' : 'download')} /></span>
      <div class="job-what"><span class="hidden">${t('gui.job.op.' + j.op)}</span><strong><bdi title=${name}>${name}</bdi></strong>${j.plain && html`<span class="state danger">${t('gui.plain.short')}</span>`}
        <span class="route"><bdi>${from}</bdi> → <bdi>${trail(sideOf(j), j.to_at)}</bdi>${!own && html` (<bdi>${owner ? `${owner.user}@${owner.address}` : j.profile}</bdi>)`}</span></div>
      <div class="job-far">${!over(j) && html`<${Bar} done=${j.bytes_done} total=${j.bytes} kind=${j.state} label=${t('gui.job.progress', { name })} />`}
        <span class="facts-line">${!over(j) && html`<span class="pct">${percent(j.bytes_done, j.bytes)}</span>`}${facts(j).map(f => html`<span>${f}</span>`)}</span></div>
      <div class="job-acts">${j.question && html`<${Button} kind="primary" label=${t('gui.job.answer')} why=${own ? '' : t('gui.why.other')} onClick=${() => reopen(j)} />`}
        ${stops(j) && Act('pause', 'pause', 'quiet', () => act(j.id, 'pause'))}
        ${more && j.state === 'waiting' && Act('first', 'arrow-up', 'quiet', () => act(j.id, 'first'))}
        ${j.state === 'paused' && Act('resume', 'play', 'quiet', () => act(j.id, 'resume'))}
        ${(j.state === 'failed' || j.state === 'canceled') && j.again && Act('retry', 'rotate-cw', 'quiet', () => act(j.id, 'retry'))}
        ${j.state === 'done' && !none && Act('show', 'folder-open', 'quiet', () => visit(sideOf(j), j.to_at))}
        ${over(j) ? html`<${Button} short icon="x" kind="quiet" label=${t('gui.job.dismiss', { name })} onClick=${() => act(j.id, 'dismiss')} />` : Act('cancel', 'x', 'danger-quiet', () => ask(j, name))}</div></div>
    ${j.active.length > 0 && j.files > 1 && html`<ul class="active">${j.active.slice(0, 3).map(a => html`<li><bdi>${a.name}</bdi> <span>${percent(a.done, a.size)}</span></li>`)}</ul>`}
    ${j.state === 'spooling' && html`<p class="hint">${t('gui.spool.stay')}</p>`}
    ${j.error && html`<${Trouble} problem=${j.error} />`}
    ${many && html`<${Button} kind="quiet" icon=${open ? 'chevron-up' : 'chevron-down'} aria-expanded=${open ? 'true' : 'false'} label=${n('gui.job.failures', j.failed)} onClick=${() => setOpen(!open)} />
      ${open && html`<ul class="failures">${j.failures.map(f => html`<li><bdi>${f.name}</bdi><p>${f.error.what}</p>${f.error.fix && html`<p class="hint">${f.error.fix}</p>`}</li>`)}</ul>`}`}
  </li>`
}

// Plot draws the speed of the last minute, once there is enough of it for a line.
function Plot() {
  if (speeds.length < 5) return null
  const most = Math.max(...speeds)
  const from = 60 - speeds.length
  const points = speeds.map((v, i) => `${from + i},${(19 - 18 * v / Math.max(most, 1)).toFixed(1)}`).join(' ')
  const words = t('gui.drawer.peak', { rate: rate(most) })
  return html`<svg class="plot" viewBox="0 0 59 20" preserveAspectRatio="none" role="img" aria-label=${words}><title>${words}</title>
    <polygon points=${`${from},19 ${points} 59,19`} /><polyline points=${points} /><line x1="0" y1="19.5" x2="59" y2="19.5" /></svg>`
}

export function Drawer() {
  const s = useStore()
  const [ask, setAsk] = useState(null)
  const own = s.jobs.filter(mine)
  const live = own.filter(j => !over(j))
  const [others, setOthers] = useState(false)
  const bytes = live.reduce((x, j) => x + j.bytes, 0)
  const done = live.reduce((x, j) => x + Math.max(0, j.bytes_done), 0)
  const flowing = live.filter(flows)
  const speed = flowing.reduce((x, j) => x + j.rate, 0)
  const rest = flowing.reduce((x, j) => x + j.bytes - j.bytes_done, 0) // a paused one has no time left
  const groups = { active: [], attention: [], done: [], other: [] }
  for (const j of s.jobs) groups[groupOf(j)].push(j)
  const failed = own.filter(j => j.state === 'failed' && j.again)
  const every = (jobs, what) => groups.other.length > 0 ? all(jobs, what) : act('', what)
  const waiting = s.jobs.filter(j => j.state === 'waiting').reverse()
  groups.active.reverse() // as they follow each other
  const cancel = (j, name) => setAsk(html`<${Confirm} danger title=${t('gui.cancel.title', { name })} text=${j.state === 'paused' && j.op === 'put' ? t('gui.cancel.paused', { name }) : t('gui.cancel.text', { name })}
    yes=${t('gui.cancel.button')} no=${t('gui.cancel.keep')} onClose=${() => setAsk(null)} onYes=${async () => {
      await post('jobs/act', { id: j.id, act: 'cancel' })
      setAsk(null)
    }} />`)
  const paused = own.filter(j => j.state === 'paused')
  const told = [
    live.length > paused.length && n('gui.drawer.active', live.length - paused.length), paused.length > 0 && n('gui.drawer.paused', paused.length), live.length > 0 && bytes > 0 && percent(done, bytes), speed > 0 && rate(speed),
    speed > 0 && remaining(rest, speed), live.length > 0 && s.limit > 0 && t('gui.drawer.limit', { rate: rate(s.limit) }), groups.attention.length > 0 && n('gui.drawer.attention', groups.attention.length),
  ].filter(Boolean)
  return html`<section class=${'drawer' + (s.drawer ? ' open' : '')} aria-label=${t('gui.nav.transfers')}>
    <div class="drawer-head"><button type="button" class="toggle" aria-expanded=${s.drawer ? 'true' : 'false'} aria-controls="jobs" onClick=${() => setDrawer(!s.drawer)}>
        <${Icon} name=${s.drawer ? 'chevron-down' : 'chevron-up'} /><strong>${t('gui.nav.transfers')}</strong>
        ${groups.attention.length > 0 && html`<span class="badge ask">${groups.attention.length}</span>`}</button>
      <span class="told">${told.join(' · ') || s.jobs.length === 0 && t('gui.drawer.none')}</span>
      ${live.length > 1 && html`<${Bar} done=${done} total=${bytes} label=${t('gui.job.total')} />`}${speed > 0 && html`<${Plot} />`}
      <span class="grow"></span>
      ${s.drawer && html`${live.some(stops) && html`<${Button} icon="pause" kind="quiet" label=${t('gui.drawer.pause')} onClick=${() => all(live.filter(stops), 'pause')} />`}
        ${paused.length > 1 && html`<${Button} icon="play" kind="quiet" label=${t('gui.drawer.resume')} onClick=${() => all(paused, 'resume')} />`}
        ${failed.length > 0 && html`<${Button} icon="rotate-cw" kind="quiet" label=${t('gui.job.retry.all')} onClick=${() => every(failed, 'retry')} />`}
        ${groups.done.length > 0 && html`<${Button} icon="x" kind="quiet" label=${t('gui.job.dismiss.all')} onClick=${() => every(groups.done, 'dismiss')} />`}`}</div>
    ${s.drawer && html`<div class="jobs" id="jobs" tabindex="0" role="group" aria-label=${t('gui.nav.transfers')}>
      ${s.jobs.length === 0 && html`<p class="empty">${t('gui.job.none')}</p>`}
      ${Object.entries(groups).map(([k, list]) => list.length > 0 && html`<h3 class=${'of-' + k} key=${k}>${k === 'other' ? html`<button type="button" class="as-link" aria-expanded=${others ? 'true' : 'false'} onClick=${() => setOthers(!others)}>${n('gui.drawer.other', list.length)}</button>` : t('gui.drawer.' + k + '.title')}</h3>
        ${(k !== 'other' || others) && html`<ul>${list.map(j => html`<${Job} key=${j.id} job=${j} ask=${cancel} more=${waiting.length > 0 && waiting[0] !== j} />`)}</ul>`}`)}</div>`}
    ${ask}</section>`
}
