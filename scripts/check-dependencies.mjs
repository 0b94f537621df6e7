// Fails when a package reaches past what docs and package.json say it may: dependencies point one way, and each
// technology and the environment have one user.
import fs from 'node:fs'
import { builtinModules } from 'node:module'
import path from 'node:path'
import ts from 'typescript'

const root = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, '..'))

// What each package may import of the workspace. A new package gets its line here.
const MAY_IMPORT = {
  'packages/contracts': [],
  'packages/tflite': [],
  'packages/telemetry': [],
  'packages/embedded': [],
  'packages/scheduler': ['contracts'],
  'packages/sim': ['scheduler'],
  'packages/blobs': ['contracts'],
  'packages/queue': ['contracts'],
  'packages/registry': ['contracts'],
  'packages/runtimes': ['contracts', 'tflite'],
  'packages/converter': ['contracts', 'tflite', 'runtimes'],
  'packages/bench': ['contracts', 'converter', 'runtimes', 'model-zoo', 'scheduler', 'embedded', 'testkit'],
  'packages/model-zoo': ['converter', 'runtimes', 'tflite'],
  'packages/engine': ['contracts', 'scheduler', 'registry', 'queue', 'blobs', 'telemetry', 'tflite'],
  'packages/testkit': ['contracts', 'embedded'],
  'apps/control-plane': [
    'contracts',
    'engine',
    'registry',
    'queue',
    'blobs',
    'telemetry',
    'tflite',
    'scheduler',
    'embedded',
    // Only its table of operators (`@skerry/runtimes/operators`), which starts no runtime.
    'runtimes'
  ],
  'apps/agent': ['contracts', 'runtimes', 'converter', 'tflite', 'telemetry'],
  'apps/cli': ['contracts', 'agent', 'converter', 'embedded']
}
const WITHOUT_IO = ['packages/contracts', 'packages/scheduler', 'packages/tflite']
const WITHOUT_IO_MAY_USE = ['typebox']
const ONLY_USERS = [
  { modules: /^@prisma\//, users: ['packages/registry'] },
  { modules: /^pg$/, users: ['packages/registry', 'packages/embedded', 'packages/testkit'] },
  { modules: /^(bullmq|ioredis)$/, users: ['packages/queue', 'packages/bench'] }
]
const READS_ENVIRONMENT = /^(apps\/[^/]+|packages\/testkit)\/src\/config\.ts$/

const problems = []

for (const folder of ['apps', 'packages']) {
  for (const name of fs.readdirSync(path.join(root, folder))) checkPackage(`${folder}/${name}`)
}
for (const file of ['apps', 'packages', 'test'].flatMap(sourcesUnder)) {
  if (/(^|\/)test\//.test(file)) checkTest(file)
}

if (problems.length > 0) {
  console.error(problems.join('\n'))
  process.exit(1)
}

function checkPackage(dir) {
  if (!fs.existsSync(path.join(root, dir, 'package.json'))) return
  if (!fs.existsSync(path.join(root, dir, 'README.md'))) problems.push(`${dir}: has no README.md`)
  if (!(dir in MAY_IMPORT)) problems.push(`${dir}: has no line in scripts/check-dependencies.mjs`)
  const manifest = JSON.parse(fs.readFileSync(path.join(root, dir, 'package.json'), 'utf8'))
  for (const file of sourcesUnder(`${dir}/src`)) checkSource(dir, file, manifest)
}

function checkSource(dir, file, manifest) {
  if (file.includes('/generated/')) return
  const text = fs.readFileSync(path.join(root, file), 'utf8')
  // The parser, not a pattern: it does not take a comment or a string for an import.
  for (const { fileName: specifier } of ts.preProcessFile(text, true, true).importedFiles) {
    if (specifier.startsWith('.')) checkRelative(dir, file, specifier)
    else
      checkModule(dir, file, specifier, isTypeOnly(text, specifier) ? { ...manifest, ...typesOf(manifest) } : manifest)
  }
  // Handing the whole of it to config.ts is not reading it.
  const others = text.replaceAll('readConfig(process.env)', '')
  if (/\bprocess\.env\b/.test(others) && !READS_ENVIRONMENT.test(file)) {
    problems.push(`${file}: reads the environment, which only an app's src/config.ts does`)
  }
}

function checkRelative(dir, file, specifier) {
  const target = path.relative(path.join(root, dir), path.resolve(root, path.dirname(file), specifier))
  if (target.startsWith('..')) problems.push(`${file}: imports ${specifier} across a package's border`)
}

function checkModule(dir, file, specifier, manifest) {
  const isBuiltin = specifier.startsWith('node:') || builtinModules.includes(specifier)
  const module = packageOf(specifier)
  if (WITHOUT_IO.includes(dir) && !WITHOUT_IO_MAY_USE.includes(module) && !module.startsWith('@skerry/')) {
    problems.push(`${file}: imports ${specifier}, but ${dir} does no I/O`)
  }
  if (isBuiltin) return
  if (module.startsWith('@skerry/') && !MAY_IMPORT[dir]?.includes(module.slice('@skerry/'.length))) {
    problems.push(`${file}: imports ${module}, against the direction of dependencies`)
  }
  for (const { modules, users } of ONLY_USERS) {
    if (modules.test(module) && !users.includes(dir))
      problems.push(`${file}: imports ${module}, which only ${users.join(', ')} may`)
  }
  const declared = { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies }
  if (!(module in declared)) problems.push(`${file}: imports ${module}, which ${dir}/package.json does not depend on`)
}

function checkTest(file) {
  const text = fs.readFileSync(path.join(root, file), 'utf8')
  const found = text.match(/\b(?:it|test|describe|suite)(?:\.\w+)*\.(?:only|skip|todo|fails)\b/)
  if (found !== null) problems.push(`${file}: ${found[0]} leaves tests out`)
}

// What is only a type is gone when the code runs, so that a development dependency will do for it.
function typesOf({ dependencies, devDependencies }) {
  return { dependencies: { ...devDependencies, ...dependencies } }
}

function isTypeOnly(text, specifier) {
  const imports = text.matchAll(/\b(?:import|export)\s+(type\s)?[^'"]*?\bfrom\s+['"]([^'"]+)['"]/g)
  const ofModule = [...imports].filter((match) => match[2] === specifier)
  return ofModule.length > 0 && ofModule.every((match) => match[1] !== undefined)
}

function packageOf(specifier) {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]
}

function sourcesUnder(folder) {
  const start = path.join(root, folder)
  if (!fs.existsSync(start)) return []
  return fs.readdirSync(start, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory())
      return ['node_modules', 'dist'].includes(entry.name) ? [] : sourcesUnder(`${folder}/${entry.name}`)
    return /\.(ts|tsx|mts|mjs|js)$/.test(entry.name) ? [`${folder}/${entry.name}`] : []
  })
}
