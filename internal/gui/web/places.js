// Paths and names in the words of people: places, kinds of files, sizes.
import { t } from './text.js'
import { state } from './store.js'

export const join = (folder, key) => (folder === '/' ? '' : folder) + '/' + key
export const parent = path => path.replace(/\/[^/]*$/, '') || '/'
export const shared = '/@shared'

export const inside = (path, folder) => path === folder || folder === '/' || path.startsWith(folder + '/')

// escape is a name as the program escapes it, byte for byte, so that paths can be compared.
export const escape = name => encodeURIComponent(name).replace(/%(?:24|26|2B|3A|3D|40)/g, decodeURIComponent).replace(/[!'()*]/g, c => '%' + c.charCodeAt(0).toString(16).toUpperCase())

// plain is an escaped segment as it can be shown. What is not text stays escaped.
export function plain(key) {
  try {
    return decodeURIComponent(key)
  } catch {
    return key
  }
}

// place is the end of a path with the name of its beginning.
export function place(side, path) {
  if (side === 'remote') {
    return inside(path, shared) ? { name: t('gui.files.shared'), icon: 'users', root: shared } : { name: t('gui.files.mine'), icon: 'folder', root: '/' }
  }
  if (state.home !== '/' && inside(path, state.home)) return { name: t('gui.files.home'), icon: 'house', root: state.home }
  const drive = state.roots.find(r => r !== '/' && inside(path, r))
  return { name: drive ? plain(drive.slice(1)) : t('gui.files.local'), icon: 'hard-drive', root: drive || '/' }
}

// last names the folder that a path leads to.
export const last = (side, path) => path === place(side, path).root ? place(side, path).name : plain(path.slice(path.lastIndexOf('/') + 1))

// trail is a whole path in the words of people.
export function trail(side, path) {
  const begin = place(side, path)
  const rest = path.slice(begin.root.length).split('/').filter(Boolean).map(plain)
  return [begin.name, ...rest].join(' › ')
}

// typed reads what somebody wrote as a path, relative to a folder.
export function typed(side, from, text) {
  const windows = side === 'local' && state.roots[0] !== '/'
  let rest = windows ? text.trim().replaceAll('\\', '/') : text.trim()
  const home = side === 'local' ? state.home : '/'
  let at = from === '/' ? [] : from.slice(1).split('/')
  if (rest === '~' || rest.startsWith('~/')) {
    at = home === '/' ? [] : home.slice(1).split('/')
    rest = rest.slice(1)
  } else if (rest.startsWith('/') || windows && /^[A-Za-z]:/.test(rest)) at = []
  for (const s of rest.split('/')) {
    if (s === '..') at.pop()
    else if (s !== '' && s !== '.') at.push(escape(s))
  }
  return '/' + at.join('/')
}

// written is a path as somebody would type it.
export const written = (side, path) => {
  const all = path.split('/').map(plain).join('/')
  return side === 'local' && state.roots[0] !== '/' ? all.slice(1).replaceAll('/', '\\') : all
}

const types = {
  image: 'png jpg jpeg gif webp bmp tif tiff heic heif avif svg ico raw', video: 'mp4 mkv mov avi webm m4v mpg mpeg',
  audio: 'mp3 flac wav ogg opus m4a aac wma', archive: 'zip tar gz tgz bz2 xz zst 7z rar iso', sheet: 'xls xlsx ods csv tsv numbers',
  document: 'pdf doc docx odt rtf ppt pptx odp pages key epub', text: 'txt md log rst tex ini conf toml',
  code: 'go c h cpp hpp rs py js ts java rb sh bash html css json yaml yml xml sql php lua swift kt',
}
const kinds = new Map(Object.entries(types).flatMap(([k, all]) => all.split(' ').map(x => [x, k])))
const icons = {
  image: 'file-image', video: 'file-video-camera', audio: 'file-music', archive: 'file-archive', sheet: 'file-spreadsheet', document: 'file-text', text: 'file-text', code: 'file-code',
}

const ending = name => /\.([A-Za-z0-9]{1,5})$/.exec(name)?.[1] ?? ''

// typeOf says what kind of thing an entry is: its icon, and words for the column.
export function typeOf(e) {
  if (e.kind !== 'file') return { icon: { folder: 'folder', link: 'link' }[e.kind] || 'circle-alert', words: t('gui.type.' + e.kind) }
  const ext = ending(e.name)
  const kind = kinds.get(ext.toLowerCase())
  return kind ? { icon: icons[kind], words: t('gui.type.' + kind, { ext: ext.toUpperCase() }) }
    : { icon: 'file', words: ext ? t('gui.type.ext', { ext: ext.toUpperCase() }) : t('gui.type.file') }
}

export const isHidden = e => e.name.startsWith('.')

// mime marks names that are dragged from one pane to the other.
export const mime = 'application/x-hufu-names'
