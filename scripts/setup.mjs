// Installs and builds all that Skerry needs beyond Node, npm, Python and a C++ compiler. Runs before npm start and
// npm test; a second run finds everything current.
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { withLock } from './setup/lock.mjs'
import { checkCompiler, checkDisk, checkNode, checkNpm, findPython, writableEnvironment } from './setup/machine.mjs'
import { SetupError } from './setup/setup-error.mjs'
import {
  build,
  layoutOf,
  nodePackages,
  nodePackagesAreCurrent,
  prismaClient,
  pythonPackages,
  pythonPackagesAreCurrent,
  tfjsNode,
  toolPaths
} from './setup/steps.mjs'

/**
 * Answers the paths that .tools/paths.json holds. Throws SetupError, one clear line, when the machine lacks something.
 * It changes TMPDIR, XDG_RUNTIME_DIR and HOME of this process where those cannot be written, for what runs after it.
 */
export async function setup({ log }) {
  checkNode()
  const layout = layoutOf(path.resolve(import.meta.dirname, '..'))
  fs.mkdirSync(layout.tools, { recursive: true })
  const { CI, ...lasting } = writableEnvironment(layout.tools)
  Object.assign(process.env, lasting)
  const context = { env: { ...process.env, CI }, log }
  const timed = async (name, step) => {
    const startedMs = performance.now()
    const did = await step()
    log(`${name.padEnd(20)}${did.padEnd(12)}${((performance.now() - startedMs) / 1_000).toFixed(1)} s`)
  }

  return withLock(path.join(layout.tools, 'setup.lock'), log, async () => {
    let paths
    await timed('machine', async () => checkMachine(layout, context.env))
    await timed('Node packages', () => nodePackages(layout, context))
    await timed('Python packages', () => pythonPackages(layout, context))
    await timed('native libraries', async () => {
      const answer = await toolPaths(layout, context)
      paths = answer.paths
      return answer.did
    })
    await timed('tfjs-node binding', () => tfjsNode(layout, context))
    await timed('Prisma client', () => prismaClient(layout, context))
    await timed('TypeScript', () => build(layout, context))
    return paths
  })
}

// Before the long installations, so that what is missing is said at once.
function checkMachine(layout, env) {
  const nodeIsCurrent = nodePackagesAreCurrent(layout)
  const pythonIsCurrent = pythonPackagesAreCurrent(layout)
  if (!nodeIsCurrent) checkNpm()
  if (!pythonIsCurrent) findPython(env)
  if (!nodeIsCurrent || !pythonIsCurrent) checkCompiler(env)
  if (!fs.existsSync(layout.venv)) checkDisk(layout.root)
  return 'fits'
}

/** What an agent needs that does not convert: no Python, no compiler, no Prisma client. */
async function setupDevice({ log }) {
  checkNode()
  const layout = layoutOf(path.resolve(import.meta.dirname, '..'))
  fs.mkdirSync(layout.tools, { recursive: true })
  const { CI, ...lasting } = writableEnvironment(layout.tools)
  const context = { env: { ...process.env, ...lasting, CI }, log }
  await withLock(path.join(layout.tools, 'setup.lock'), log, async () => {
    if (!nodePackagesAreCurrent(layout)) checkNpm()
    await nodePackages(layout, context)
    await build(layout, context, 'apps/cli')
  })
  log('This machine can join: npx skerry agent join URL --token TOKEN')
}

/** Runs set-up for a command; on failure tells why and ends the process. */
export async function setupOrExit({ log }) {
  return orExit(() => setup({ log }))
}

async function orExit(work) {
  try {
    return await work()
  } catch (error) {
    console.error(error instanceof SetupError ? `set-up: ${error.message}` : error)
    process.exit(1)
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(fs.realpathSync(process.argv[1])).href) {
  await orExit(() => (process.argv.includes('--device') ? setupDevice : setup)({ log: console.log }))
}
