// Search: names in a folder and everything below it.
import { useEffect, useState } from './vendor/hooks.js'
import { post } from './api.js'
import { parent, trail, typeOf } from './places.js'
import { n, size, t, time } from './text.js'
import { state } from './store.js'
import { Button, Dialog, html, Icon, Trouble } from './ui.js'

export function Search({ pane, words, onClose }) {
  const [found, setFound] = useState(null)
  const [problem, setProblem] = useState(null)
  useEffect(() => {
    const stop = new AbortController()
    post('search', { side: pane.side, path: pane.path, words, hidden: state.hidden }, stop.signal).then(setFound, e => stop.signal.aborted || setProblem(e))
    return () => stop.abort()
  }, [])
  const show = hit => {
    onClose()
    pane.find(parent(hit.path), hit.key)
  }
  return html`<${Dialog} title=${t('gui.search.title', { words })} onClose=${onClose} wide>
    <p class="hint">${trail(pane.side, pane.path)}</p>
    <p role="status">${found ? n('gui.search.found', found.hits.length) + (found.whole ? '' : ' ' + t('gui.search.cut')) : problem ? '' : t('gui.search.runs')}</p>
    <${Trouble} problem=${problem} />
    ${found?.hits.length > 0 && html`<ul class="hits" tabindex="0" aria-label=${t('gui.search.hits')}>${found.hits.map(hit => html`<li key=${hit.path}><button type="button" onClick=${() => show(hit)}>
      <span class=${'kind ' + hit.kind}><${Icon} name=${typeOf(hit).icon} /></span><bdi>${hit.name}</bdi>
      <span class="hit-at"><bdi>${trail(pane.side, parent(hit.path))}</bdi></span><span>${hit.kind === 'file' ? size(hit.size) : ''}</span><span>${time(hit.mtime)}</span></button></li>`)}</ul>`}
    <div class="buttons"><${Button} kind="primary" label=${t('gui.close')} onClick=${onClose} autofocus /></div></${Dialog}>`
}
