/**
 * Files that are made to harm whoever opens them: a name, what their sender says they are, their bytes, and how the server
 * must answer a browser. A script in them calls a canary, changes the title and opens a dialog.
 */
import { deflateSync, gzipSync } from 'node:zlib';

const JS = "document.title='pwned';fetch('/canary');new Image().src='/canary.png';alert('pwned')";
const SCRIPT = `<script>${JS}</script>`;
const HTML = `<!doctype html><html><body>${SCRIPT}<img src=x onerror="${JS}"></body></html>`;
const SVG = `<svg xmlns="http://www.w3.org/2000/svg" onload="${JS}"><script>${JS}</script><rect width="9" height="9"/></svg>`;
const XHTML = `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>${SCRIPT}</body></html>`;
const PDF = `%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert\\('pwned'\\);this.submitForm\\('/canary'\\))>>>>endobj\ntrailer<</Root 1 0 R>>`;

const text = (string) => Buffer.from(string, 'utf8');
const bytes = (...parts) =>
  Buffer.concat(parts.map((part) => (Buffer.isBuffer(part) ? part : Buffer.from(part, 'latin1'))));

const GIF = bytes(
  'GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;',
);
const PNG = bytes('\x89PNG\r\n\x1a\n');
const JPEG = bytes('\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00');
const RIFF = (kind) => bytes('RIFF\x00\x10\x00\x00', kind);
const ZIP = bytes('PK\x03\x04\x14\x00\x00\x00\x08\x00');

const attachment = (name, type, content) => ({ name, type, bytes: content, shown: 'attachment' });
const inline = (name, type, content) => ({ name, type, bytes: content, shown: 'inline' });

export const HOSTILE = [
  // Pages and what browsers take for pages.
  attachment('page.html', 'text/html', text(HTML)),
  attachment('page.htm', '', text(HTML)),
  attachment('page.png', 'image/png', text(HTML)),
  attachment('page.jpg', 'image/jpeg', text(`   \n${HTML}`)),
  attachment('page.txt', 'text/plain', text(HTML)),
  attachment('page', '', text(HTML)),
  attachment('page.mp4', 'video/mp4', text(HTML)),
  attachment('page.mp3', 'audio/mpeg', text(HTML)),
  attachment('page.bin', 'application/octet-stream', text(HTML)),
  attachment('utf16.html', 'text/html', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(HTML, 'utf16le')])),
  attachment('utf7.html', 'text/html', text('+ADw-script+AD4-alert(1)+ADw-/script+AD4-')),
  attachment('page.xhtml', 'application/xhtml+xml', text(XHTML)),
  attachment('page.xml', 'text/xml', text(XHTML)),
  attachment('style.xsl', 'text/xsl', text(`<?xml version="1.0"?><?xml-stylesheet href="#"?>${XHTML}`)),
  attachment('page.mht', 'multipart/related', text(`MIME-Version: 1.0\nContent-Type: text/html\n\n${HTML}`)),
  attachment('page.hta', 'application/hta', text(HTML)),
  attachment('page.shtml', 'text/html', text(`<!--#exec cmd="id" -->${HTML}`)),
  attachment('zipped.html', 'text/html', gzipSync(text(HTML))),
  // Drawings.
  attachment('drawing.svg', 'image/svg+xml', text(SVG)),
  attachment('drawing.png', 'image/png', text(SVG)),
  attachment('drawing.svgz', 'image/svg+xml', gzipSync(text(SVG))),
  attachment('entity.svg', 'image/svg+xml', text(`<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>${SVG}`)),
  attachment(
    'foreign.svg',
    '',
    text(`<?xml version="1.0"?>${SVG.replace('<rect', `<foreignObject>${HTML}</foreignObject><rect`)}`),
  ),
  // Programs and documents that run.
  attachment('code.js', 'text/javascript', text(JS)),
  attachment('code.mjs', 'application/javascript', text(JS)),
  attachment('style.css', 'text/css', text("@import url('/canary.css');body{background:url('/canary.png')}")),
  attachment('data.json', 'application/json', text(`{"a":"${SCRIPT.replaceAll('"', "'")}"}`)),
  attachment('form.pdf', 'application/pdf', text(PDF)),
  attachment('film.swf', 'application/x-shockwave-flash', bytes('FWS\x09\x00\x10\x00\x00')),
  attachment('link.url', 'application/internet-shortcut', text('[InternetShortcut]\nURL=javascript:alert(1)')),
  attachment('manifest.appcache', 'text/cache-manifest', text('CACHE MANIFEST\n/canary')),
  // Bytes that are two things at once: what a browser may show is only ever shown as the harmless one.
  inline('gif-and-html.gif', 'text/html', bytes(GIF, HTML)),
  inline('gif-and-script.gif', 'text/javascript', bytes(GIF, `=1;${JS}`)),
  inline('png-and-html.png', 'text/html', bytes(PNG, '\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01', HTML)),
  inline('jpeg-and-html.jpg', 'text/html', bytes(JPEG, '\xff\xfe\x10\x00', HTML)),
  inline('webp-and-html.webp', 'text/html', bytes(RIFF('WEBPVP8 '), HTML)),
  inline('sound-and-html.mp3', 'text/html', bytes('ID3\x03\x00\x00\x00\x00\x00\x00', HTML)),
  inline('wave-and-html.wav', 'text/html', bytes(RIFF('WAVEfmt '), HTML)),
  inline('film-and-html.mp4', 'text/html', bytes('\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom', HTML)),
  attachment('pdf-and-html.pdf', 'text/html', bytes(PDF, HTML)),
  attachment('zip-and-html.zip', 'text/html', bytes(ZIP, HTML)),
  // Bombs.
  inline(
    'flood.png',
    'image/png',
    bytes(PNG, '\x00\x00\x00\x0dIHDR\x00\x00\xc3\x50\x00\x00\xc3\x50\x08\x06\x00\x00\x00', '\x00\x00\x00\x00'),
  ),
  inline(
    'flood.gif',
    'image/gif',
    bytes(
      'GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff',
      ',\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02D\x01'.repeat(2000),
    ),
  ),
  attachment('bomb.gz', 'application/gzip', gzipSync(Buffer.alloc(20_000_000))),
  attachment('bomb.zz', 'application/zlib', deflateSync(Buffer.alloc(5_000_000))),
  attachment(
    'laughs.xml',
    'application/xml',
    text('<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><l>&b;&b;&b;</l>'),
  ),
  // Names.
  attachment('photo\u202egnp.html', 'text/html', text(HTML)),
  attachment(`x"; filename=evil.html`, 'text/html', text(HTML)),
  attachment('<img src=x onerror=alert(1)>.html', 'text/html', text(HTML)),
];
