// What must be on the machine before anything can be installed.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { SetupError } from './setup-error.mjs'

// Measured: 1.9 GB under .tools and 0.9 GB under node_modules, and what unpacking needs besides.
const NEEDED_DISK_BYTES = 4e9

export function checkNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number)
  if ((major === 20 && minor >= 20) || major === 21 || major === 22) return
  throw new SetupError(
    `Node 20.20 to 22 is needed, this is ${version}: install it from nodejs.org or with nvm install 22`
  )
}

/** The Python to make the environment with: SKERRY_PYTHON, else the first on the PATH that fits. */
export function findPython(env = process.env) {
  const candidates = env.SKERRY_PYTHON ? [env.SKERRY_PYTHON] : ['python3', 'python3.13', 'python3.12', 'python3.11']
  const probe =
    'import sys; v = sys.version_info; print("%d.%d" % v[:2], (3, 11) <= v[:2] <= (3, 13))\nimport venv, ensurepip, ssl; print("venv")'
  const seen = []
  for (const python of candidates) {
    const answer = spawnSync(python, ['-c', probe], { encoding: 'utf8' })
    const [version, venv] = (answer.stdout ?? '').trim().split('\n')
    if (version?.endsWith('True') && venv === 'venv') return python
    const lacks = version?.endsWith('True') ? ' without venv or ssl' : ''
    if (version) seen.push(`${python} is ${version.split(' ')[0]}${lacks}`)
  }
  const found = seen.length > 0 ? seen.join(', ') : `none was found as ${candidates.join(', ')}`
  throw new SetupError(
    `Python 3.11 to 3.13 with venv is needed (${found}): install it (Debian and Ubuntu: apt install python3 python3-venv) or name one in SKERRY_PYTHON`
  )
}

export function checkCompiler(env = process.env) {
  const compilers = [env.CXX, 'c++', 'g++', 'clang++'].filter((name) => name)
  if (compilers.some((name) => spawnSync(name, ['--version']).status === 0)) return
  throw new SetupError(
    'a C++ compiler is needed: install g++ (Debian and Ubuntu: apt install g++; macOS: xcode-select --install)'
  )
}

export function checkNpm() {
  if (spawnSync('npx', ['--version']).status === 0) return
  throw new SetupError('npm with npx is needed: it comes with Node (Debian and Ubuntu: apt install npm)')
}

export function checkDisk(directory, neededBytes = NEEDED_DISK_BYTES) {
  const { bavail, bsize } = fs.statfsSync(directory)
  if (bavail * bsize >= neededBytes) return
  const gigabytes = (bytes) => (bytes / 1e9).toFixed(1)
  throw new SetupError(
    `about ${gigabytes(neededBytes)} GB of free disk are needed in ${directory}, there are ${gigabytes(bavail * bsize)}`
  )
}

/**
 * The environment that installers and tests run in. Where the temporary or the home directory cannot be written, as
 * for service users, theirs lie in `toolsDir`.
 */
export function writableEnvironment(toolsDir, env = process.env) {
  const changed = { CI: '1', CHECKPOINT_DISABLE: '1', PYTHONUTF8: '1' }
  if (!isWritable(os.tmpdir())) {
    const tmp = path.join(toolsDir, 'tmp')
    fs.mkdirSync(tmp, { recursive: true, mode: 0o700 })
    changed.TMPDIR = tmp
    if (!isWritable(env.XDG_RUNTIME_DIR)) changed.XDG_RUNTIME_DIR = tmp
  }
  if (!isWritable(os.homedir())) {
    changed.HOME = path.join(toolsDir, 'home')
    fs.mkdirSync(changed.HOME, { recursive: true, mode: 0o700 })
  }
  return changed
}

function isWritable(directory) {
  if (!directory) return false
  try {
    fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK)
    return true
  } catch {
    return false
  }
}
