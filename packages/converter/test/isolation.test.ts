import { spawn, spawnSync } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defaultLimits } from '../src/converter-limits.ts'
import { pythonArguments, pythonEnvironment } from '../src/python-environment.ts'
import { python } from './real-parts.ts'
import { processesWith, withoutNamespaces } from './worker-bench.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-isolation-'))
  // Apart from being kept from it, an ordinary user could read the canary.
  await chmod(scratch, 0o755)
  await writeFile(path.join(scratch, 'canary'), 'secret')
  await writeFile(path.join(scratch, 'given'), 'readable')
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

type Options = {
  limits?: Partial<ReturnType<typeof defaultLimits>>
  /** What the launcher is run by. */
  by?: readonly string[]
  executable?: string
  user?: number
}

/** Runs Python code as the reference engine is run: `folder` can be written, `given` read, and nothing else is ours. */
async function isolated(code: string, { limits = {}, by = [], executable = python, user }: Options = {}) {
  const folder = await mkdtemp(path.join(scratch, 'folder-'))
  if (user !== undefined) await chown(folder, user, user)
  const [command = executable, ...before] = [...by, executable]
  const child = spawn(
    command,
    [
      ...before,
      ...pythonArguments('-m', 'skerry_converter.sandbox_exec', '--parent', String(process.pid)),
      ...['--limits', JSON.stringify({ ...defaultLimits(), ...limits })],
      ...['--read', path.join(scratch, 'given'), '--write', folder],
      ...['--', executable, '-c', code]
    ],
    { env: { ...pythonEnvironment(folder), SCRATCH: scratch, FOLDER: folder }, stdio: ['ignore', 'pipe', 'pipe'] }
  )
  let out = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const [exitCode, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (...end) => resolve(end))
  })
  return { code: exitCode, signal, out, errors, folder }
}

/** Python: prints what each named attempt came to, `done` or the error's name. */
const attempts = (lines: Record<string, string>) =>
  [
    'import ctypes, os, shutil, signal, socket, subprocess',
    'folder, scratch = os.environ["FOLDER"], os.environ["SCRATCH"]',
    ...Object.entries(lines).map(
      ([name, line]) =>
        `try:\n    ${line}\n    print("${name}: done", flush=True)\nexcept Exception as error:\n    print("${name}:", type(error).__name__, flush=True)`
    )
  ].join('\n')

const resultsOf = (out: string) =>
  Object.fromEntries(
    out
      .trim()
      .split('\n')
      .map((line) => line.split(': '))
  ) as Record<string, string>

describe('what runs a model', () => {
  it('reaches no network', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    try {
      const { out } = await isolated(
        attempts({
          internet: 'socket.socket(socket.AF_INET)',
          udp: 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
          own: `socket.create_connection(("127.0.0.1", ${port}), 1)`,
          kernel: 'socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)',
          pair: 'socket.socketpair()'
        })
      )
      const refused = 'PermissionError'
      expect(resultsOf(out)).toEqual({ internet: refused, udp: refused, own: refused, kernel: refused, pair: 'done' })
    } finally {
      server.close()
    }
  })

  it('reads what it was given, and nothing else of the machine', async () => {
    const { out } = await isolated(
      attempts({
        given: 'open(scratch + "/given").read()',
        library: 'import numpy',
        canary: 'open(scratch + "/canary").read()',
        listing: 'os.listdir(scratch)',
        home: 'os.listdir("/root")',
        accounts: 'open("/etc/passwd").read()',
        link: 'os.symlink(scratch + "/canary", folder + "/link"); open(folder + "/link").read()',
        hardlink: 'os.link(scratch + "/canary", folder + "/hard")'
      })
    )
    const { given, library, ...others } = resultsOf(out)
    expect({ given, library }).toEqual({ given: 'done', library: 'done' })
    for (const [name, result] of Object.entries(others)) expect(result, name).toMatch(/PermissionError|FileNotFound/)
  })

  it('writes in its folder alone, and runs nothing that it wrote', async () => {
    const { out, folder } = await isolated(
      attempts({
        inside: 'open(folder + "/inside", "w").write("x")',
        given: 'open(scratch + "/given", "w")',
        mode: 'os.chmod(scratch + "/given", 0o777)',
        beside: 'open(scratch + "/beside", "w")',
        temporary: 'open("/tmp/beside", "w")',
        environment: 'import numpy; open(os.path.dirname(numpy.__file__) + "/ours.py", "w")',
        program:
          'shutil.copy("/bin/true", folder); os.chmod(folder + "/true", 0o755); subprocess.run([folder + "/true"])',
        device: 'os.mknod(folder + "/device", 0o600 | 0o020000, os.makedev(1, 3))'
      })
    )
    const { inside, ...others } = resultsOf(out)
    expect(inside).toBe('done')
    expect(Object.keys(others)).toHaveLength(7)
    for (const [name, result] of Object.entries(others))
      expect(result, name).toMatch(/PermissionError|OSError|NotFound/)
    expect((await readdir(folder)).sort()).toEqual(['inside', 'true'])
    expect((await readdir(scratch)).includes('beside')).toBe(false)
    expect((await stat(path.join(scratch, 'given'))).mode & 0o777).toBe(0o644)
  })

  it('sees and signals no other process, and has no privileges to gain', async () => {
    const { out } = await isolated(
      attempts({
        others: `print("seen:", [each for each in os.listdir("/proc") if each == "${process.pid}"] or "none")`,
        kill: `os.kill(${process.pid}, 0)`,
        root: 'os.setuid(0)',
        mount: 'ctypes.CDLL(None).mount(b"x", folder.encode(), b"tmpfs", 0, None) and 1 / 0',
        namespace: 'ctypes.CDLL(None).unshare(0x10000000) and 1 / 0',
        status: 'print("capabilities:", {l.split()[1] for l in open("/proc/self/status") if l.startswith("Cap")})'
      })
    )
    expect(resultsOf(out)).toEqual({
      ...{ seen: 'none', others: 'done', kill: 'ProcessLookupError', mount: 'ZeroDivisionError' },
      root: process.getuid?.() === 0 ? 'PermissionError' : expect.stringMatching(/PermissionError|done/),
      ...{ namespace: 'ZeroDivisionError', capabilities: "{'0000000000000000'}", status: 'done' }
    })
  })

  it('has a limit of processes, which ends a fork bomb, and nothing of it is left', async () => {
    // A path that the bomb has in its command line, and nobody else.
    const code = [
      `marker = ${JSON.stringify(scratch)}`,
      'import os, time',
      'made = 0',
      'try:',
      '    while made < 1000:',
      '        if os.fork() == 0: time.sleep(600)',
      '        made += 1',
      'except OSError as error:',
      '    print(type(error).__name__, made, flush=True)'
    ].join('\n')
    const { out } = await isolated(code, { limits: { processes: 50 } })
    const [name, made] = out.trim().split(' ')
    expect(name).toBe('BlockingIOError')
    expect(Number(made)).toBeLessThanOrEqual(50)
    await expect.poll(() => processesWith(scratch)).toEqual([])
  })

  it('ends as what it ran ended', async () => {
    expect(await isolated('import sys; sys.exit(7)')).toMatchObject({ code: 7, signal: null })
    expect(await isolated('import os; os.abort()')).toMatchObject({ code: null, signal: 'SIGABRT' })
    expect(await isolated('while True: pass', { limits: { cpuSeconds: 1 } })).toMatchObject({ signal: 'SIGXCPU' })
    const large = 'open(__import__("os").environ["FOLDER"] + "/large", "wb").write(bytes(1 << 20))'
    expect((await isolated(large, { limits: { fileBytes: 1000 } })).errors).toContain('File too large')
    expect((await isolated('bytearray(1 << 30)', { limits: { memoryBytes: 256 << 20 } })).errors).toContain(
      'MemoryError'
    )
  })
})

/** A user and an interpreter that every user can run with this code; undefined where there are none. */
const ordinary = (() => {
  const user = 1000
  const by = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups']
  const executable = '/usr/bin/python3'
  const args = [...by.slice(1), executable, ...pythonArguments('-c', 'import skerry_converter.sandbox_exec')]
  const { status } = spawnSync('setpriv', args, { env: pythonEnvironment('/nonexistent') })
  return status === 0 ? { by, executable, user } : undefined
})()

// What a container or an ordinary user has; each as far as this system lets us try it.
describe.runIf(process.getuid?.() === 0)('with fewer privileges', () => {
  const tell =
    'import json, os; status = open("/proc/self/status").read(); ' +
    'print(json.dumps([os.getpid() < 10, "NoNewPrivs:\\t1" in status, "Seccomp:\\t2" in status]))'
  const reads = attempts({ given: 'open(scratch + "/given").read()', canary: 'open(scratch + "/canary").read()' })
  const readsGivenAlone = async (options: Options) => {
    const { given, canary } = resultsOf((await isolated(reads, options)).out)
    expect({ given, canary }).toEqual({ given: 'done', canary: 'PermissionError' })
  }

  it.runIf(ordinary !== undefined)('an ordinary user has a user namespace, and all the rest', async () => {
    expect((await isolated(tell, ordinary)).out).toBe('[true, true, true]\n')
    const { given, canary } = resultsOf((await isolated(reads, ordinary)).out)
    expect({ given, canary }).toEqual({ given: 'done', canary: 'FileNotFoundError' })
  })

  it('root without the privilege to make namespaces has a filter and Landlock at least', async () => {
    const by = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin']
    expect((await isolated(tell, { by })).out).toContain('true, true]')
    const { given, canary } = resultsOf((await isolated(reads, { by })).out)
    expect({ given, canary }).toEqual({ given: 'done', canary: expect.stringMatching(/Permission|NotFound/) })
  })

  it('where there are no namespaces, there are a filter and Landlock', async () => {
    const by = withoutNamespaces
    expect((await isolated(tell, { by })).out).toBe('[false, true, true]\n')
    await readsGivenAlone({ by })
  })
})

it('the folder that it wrote is left to whoever gave it', async () => {
  const { folder } = await isolated('pass')
  await mkdir(path.join(folder, 'ours'))
  expect(await readdir(folder)).toEqual(['ours'])
})
