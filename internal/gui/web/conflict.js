// The question what to do with a name that holds something else.
import { useEffect, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { mine, set, sideOf, useStore } from './store.js'
import { size, t, time } from './text.js'
import { Button, Dialog, html, Icon, Rows, Trouble, useBusy } from './ui.js'
import { last, parent, trail, typeOf } from './places.js'

const later = new Set()
const mark = j => `${j.id}:${j.question.id}`

// reopen asks a question again that somebody wanted to think about.
export function reopen(j) {
  later.delete(mark(j))
  set({})
}

function Digest({ entry, side, path }) {
  const [digest, setDigest] = useState(entry.digest || '')
  useEffect(() => {
    if (digest) return
    let late = false
    post('properties', { side, path, digest: true }).then(a => late || setDigest(a.entry.digest), () => late || setDigest('–'))
    return () => { late = true }
  }, [])
  return html`<code class="digest">${digest || t('gui.prop.reading')}</code>`
}

// Card shows one side. than is the other one, for "newer" and "larger".
function Card({ title, icon, side, browser, path, entry, than }) {
  const [open, setOpen] = useState(false)
  const file = entry.kind === 'file'
  const newer = entry.mtime > than.mtime
  const larger = entry.size > than.size
  const marks = [
    entry.mtime !== than.mtime && { more: newer, words: t(newer ? 'gui.conflict.newer.mark' : 'gui.conflict.older.mark') },
    file && than.kind === 'file' && entry.size !== than.size && { more: larger, words: t(larger ? 'gui.conflict.larger.mark' : 'gui.conflict.smaller.mark') },
  ].filter(Boolean)
  const close = entry.mtime !== than.mtime && time(entry.mtime) === time(than.mtime) // only the seconds tell them apart
  return html`<section class="proof card-side"><h3><${Icon} name=${icon} />${title}</h3>
    <p class="path"><bdi>${browser ? t('gui.job.browser') : trail(side, parent(path))}</bdi></p>
    <p class="marks">${marks.map(x => html`<span class=${'state' + (x.more ? ' more' : '')}>${x.words}</span>`)}</p>
    <${Rows} of=${[[t('gui.files.size'), file ? size(entry.size) : typeOf(entry).words], [t('gui.files.time'), time(entry.mtime, close)]]} />
    ${file && html`<details onToggle=${e => setOpen(e.target.open)}><summary>${t('gui.prop.digest')}</summary>${open && html`<${Digest} entry=${entry} side=${side} path=${path} />`}</details>`}</section>`
}

const choices = ['rename', 'replace', 'newer', 'skip']

function Question({ job, onLater }) {
  const q = job.question
  const [all, setAll] = useState(false)
  const [policy, setPolicy] = useState('rename')
  const { busy, problem, run } = useBusy()
  const submit = e => {
    e.preventDefault()
    run(() => post('jobs/answer', { id: job.id, question: q.id, policy, all }))
  }
  const put = job.op === 'put'
  const mine = put ? q.from : q.into
  const theirs = put ? q.into : q.from
  return html`<${Dialog} wide title=${html`<bdi>${t('gui.conflict.title', { name: q.into.name || '', folder: last(sideOf(job), parent(put ? q.remote_path : q.local_path)) })}</bdi>`} onClose=${onLater}>
    <form onSubmit=${submit}>
      <div class="proofs"><${Card} title=${t('gui.conflict.local')} icon="monitor" side="local" browser=${job.browser} path=${q.local_path} entry=${mine} than=${theirs} />
        <${Card} title=${t('gui.conflict.remote')} icon="hard-drive" side="remote" path=${q.remote_path} entry=${theirs} than=${mine} /></div>
      <fieldset class="choices"><legend>${t('gui.conflict.text')}</legend>${choices.map(x => html`<label key=${x}>
        <input type="radio" name="policy" value=${x} checked=${policy === x} onChange=${() => setPolicy(x)} autofocus=${x === 'rename'} />
        <span><strong>${t('gui.conflict.' + x)}</strong><span class="hint">${t(`gui.conflict.${x === 'newer' && q.from.mtime < q.into.mtime ? 'older' : x}.${job.op}`)}</span></span></label>`)}</fieldset>
      <label class="check"><input type="checkbox" checked=${all} onChange=${e => setAll(e.target.checked)} /> ${t('gui.conflict.all')}</label>
      <${Trouble} problem=${problem} />
      <div class="buttons"><${Button} kind="quiet" label=${t('gui.conflict.later')} onClick=${onLater} />
        <${Button} type="submit" kind="primary" label=${t('gui.conflict.button')} disabled=${busy} /></div></form></${Dialog}>`
}

export function Conflict() {
  const s = useStore()
  const job = s.jobs.find(j => j.question && mine(j) && !later.has(mark(j)))
  if (!s.entered || !job) return null
  return html`<${Question} key=${mark(job)} job=${job} onLater=${() => {
    later.add(mark(job))
    set({})
  }} />`
}
