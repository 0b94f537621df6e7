import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ConversionError } from './conversion-error.ts'
import { pythonEnvironment, pythonFolder } from './python-converter.ts'

/** Python packages that take part in a conversion. */
const packages = [
  'tensorflow-cpu',
  'tensorflow',
  'keras',
  'litert-quantizer',
  'ai-edge-litert',
  'numpy',
  'pillow',
  'h5py'
]

const askVersions = `
import importlib.metadata as m, json, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
print(json.dumps({n: v for n in sys.argv[1:] if (v := version(n))}))
`

/**
 * Stands for a converter: its own code, Python's packages, and the runtimes that it proves on. The same source and
 * recipe give the same result where it is equal. 16 hexadecimal digits.
 *
 * @throws ConversionError `converter-unavailable`
 */
export async function converterStamp(python: string, runtimes: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  const own = path.dirname(fileURLToPath(import.meta.url))
  for (const folder of [path.join(pythonFolder, 'skerry_converter'), own]) {
    const files = await readdir(folder, { recursive: true })
    for (const file of files.sort()) {
      if (/\.(py|js|ts)$/.test(file) && !file.endsWith('.d.ts')) {
        hash.update(file).update(await readFile(path.join(folder, file)))
      }
    }
  }
  try {
    const args = ['-P', '-s', '-B', '-c', askVersions, ...packages]
    const { stdout } = await promisify(execFile)(python, args, { env: pythonEnvironment('/nonexistent') })
    hash.update(stdout)
  } catch (cause) {
    throw new ConversionError('converter-unavailable', `${python} does not tell its packages' versions.`, { cause })
  }
  return hash
    .update([...runtimes].sort().join())
    .digest('hex')
    .slice(0, 16)
}
