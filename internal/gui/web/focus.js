// The focus stays near the place where it was when what had it goes away: a
// button that pauses is no more once the transfer is paused, and without a
// mouse the way back to its row would be long.

const able = 'button:not([disabled]), a[href], input:not([disabled]), select:not([disabled]), textarea:not([disabled]), [tabindex="0"]'

// around is an element and all that it is in.
export function around(element) {
  const chain = []
  for (let e = element; e && e !== document.body; e = e.parentElement) chain.push(e)
  return chain
}

const seen = e => e && e.offsetParent !== null

// focusNear focuses the nearest thing that is still there: what itself takes the focus, or else the
// list or the first button in it.
export function focusNear(chain) {
  for (const e of chain) {
    if (!e.isConnected) continue
    const to = e.matches(able) && seen(e) ? e : [...e.querySelectorAll('[tabindex="0"]'), ...e.querySelectorAll(able)].find(seen)
    if (to) return to.focus({ preventScroll: true })
  }
}

// keepFocus begins to look after the focus in the page below root.
export function keepFocus(root) {
  let chain = []
  root.addEventListener('focusin', e => { chain = around(e.target) })
  new MutationObserver(() => {
    if (document.activeElement === document.body && chain.length > 0 && !(chain[0].isConnected && !chain[0].disabled && seen(chain[0]))) focusNear(chain.slice(1))
  }).observe(root, { childList: true, subtree: true, attributes: true, attributeFilter: ['disabled'] })
}
