// A stamp says what a step was last done for, so that it is not done again for the same.
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'

/** One hash over the contents of files (their names count too) and further words. */
export function fingerprint(root, files, ...words) {
  const hash = createHash('sha256')
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(fs.readFileSync(path.join(root, file)))
      .update('\0')
  return hash.update(words.join('\0')).digest('hex')
}

export function isStamped(stampFile, value) {
  return fs.existsSync(stampFile) && fs.readFileSync(stampFile, 'utf8') === value
}

export function stamp(stampFile, value) {
  fs.mkdirSync(path.dirname(stampFile), { recursive: true })
  fs.writeFileSync(stampFile, value)
}
