// The question what to do with a name that holds something else.
import { useEffect, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { set, useStore } from './store.js'
import { size, t, time } from './text.js'
import { Button, Dialog, html, Rows, Trouble, useBusy } from './ui.js'

const later = new Set()
const mark = j => `${j.id}:${j.question.id}`

// reopen asks a question again that somebody wanted to think about.
export function reopen(j) {
  later.delete(mark(j))
  set({})
}

function Side({ title, name, entry, side, path }) {
  const [digest, setDigest] = useState(entry.digest || '')
  useEffect(() => {
    if (digest || entry.kind !== 'file') return
    let late = false
    post('properties', { side, path, digest: true }).then(a => late || setDigest(a.entry.digest), () => late || setDigest('–'))
    return () => { late = true }
  }, [])
  return html`<section class="proof"><h3>${title}</h3><p class="path"><bdi>${name}</bdi></p><${Rows} of=${[
    [t('gui.files.size'), entry.kind === 'file' ? size(entry.size) : t('gui.kind.' + entry.kind)], [t('gui.files.time'), time(entry.mtime)],
    [t('gui.prop.digest'), entry.kind === 'file' && html`<code class="digest">${digest || t('gui.prop.reading')}</code>`]]} /></section>`
}

function Question({ job, onLater }) {
  const q = job.question
  const [all, setAll] = useState(false)
  const { busy, problem, run } = useBusy()
  const answer = policy => run(() => post('jobs/answer', { id: job.id, question: q.id, policy, all }))
  const put = job.op === 'put'
  const local = ['local', q.local, q.local_path, put ? q.from : q.into]
  const remote = ['remote', q.remote, q.remote_path, put ? q.into : q.from]
  const [from, into] = put ? [local, remote] : [remote, local]
  const choices = [
    ['replace', t('gui.conflict.replace'), 'primary'], ['newer', t('gui.conflict.newer'), ''], ['different', t('gui.conflict.different'), ''],
    ['rename', t('gui.conflict.rename'), ''], ['skip', t('gui.conflict.skip'), ''],
  ]
  return html`<${Dialog} wide title=${t('gui.conflict.title', { name: into[3].name || '' })} onClose=${onLater}>
    <p>${t('gui.conflict.text')}</p>
    <div class="proofs"><${Side} title=${t('gui.conflict.' + from[0])} side=${from[0]} name=${from[1]} path=${from[2]} entry=${from[3]} />
      <${Side} title=${t('gui.conflict.' + into[0])} side=${into[0]} name=${into[1]} path=${into[2]} entry=${into[3]} /></div>
    <label class="check"><input type="checkbox" checked=${all} onChange=${e => setAll(e.target.checked)} /> ${t('gui.conflict.all')}</label>
    <${Trouble} problem=${problem} />
    <div class="buttons wrap"><${Button} kind="quiet" label=${t('gui.conflict.later')} onClick=${onLater} />
      ${choices.map(([policy, label, kind]) => html`<${Button} label=${label} kind=${kind} disabled=${busy} data-policy=${policy} onClick=${() => answer(policy)} />`)}</div></${Dialog}>`
}

export function Conflict() {
  const s = useStore()
  const job = s.jobs.find(j => j.question && !later.has(mark(j)))
  if (!s.entered || !job) return null
  return html`<${Question} key=${mark(job)} job=${job} onLater=${() => {
    later.add(mark(job))
    set({})
  }} />`
}
