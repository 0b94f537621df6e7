import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type {
  Device,
  DeviceConfig,
  DeviceConfigPatch,
  DeviceConfigState,
  DeviceSetting,
  Diagnostics
} from '@skerry/contracts'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type ApiClient, apiClientOf } from '../api-client.ts'
import { milliseconds } from '../cells.ts'
import { CliError } from '../cli-error.ts'
import type { CliConfig } from '../config.ts'
import { renderTable } from '../table.ts'

type Flags = { json?: boolean }
type ConfigFlags = Flags & {
  slots?: number
  threads?: number
  runtime?: NonNullable<DeviceConfig['runtime']>
  logLevel?: NonNullable<DeviceConfig['logLevel']>
  maxTemperature?: number
  minFreeMb?: number
  minBattery?: number
  unset: DeviceSetting[]
}

/** A device that is connected answers at once, or after it tried another runtime. */
const ANSWER_WITHIN_MS = 15_000

/** Commands that change what a device is given, as the routes of the same names do. */
const STATE_CHANGES = {
  cordon: 'give a device no new work; what it has, it finishes',
  uncordon: 'give a device work again after cordon or drain',
  drain: 'the same, before a device is switched off: it is shown as draining',
  revoke: 'let a device never connect again: its key is void for good'
}

const SETTINGS: Record<string, DeviceSetting> = {
  slots: 'slots',
  threads: 'threads',
  runtime: 'runtime',
  'log-level': 'logLevel',
  'max-temperature': 'maxTemperatureC',
  'min-free-mb': 'minFreeMemoryBytes',
  'min-battery': 'minBatteryPercent'
}

const number = (text: string): number => {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) throw new InvalidArgumentError('a number, 0 or more')
  return value
}

const settings = (text: string): DeviceSetting[] =>
  text === 'all'
    ? Object.values(SETTINGS)
    : text.split(',').map((word) => {
        const setting = SETTINGS[word]
        if (setting === undefined) throw new InvalidArgumentError(`all, or of ${Object.keys(SETTINGS).join(', ')}`)
        return setting
      })

export function deviceCommands(program: Command, config: CliConfig): void {
  const devices = program.command('devices').description('the fleet, and how its devices run')
  devices
    .command('list', { isDefault: true })
    .description('all devices: state, runtimes, what they serve and how fast')
    .option('--json')
    .action(async (flags: Flags) => {
      const { items } = await apiClientOf(config).get<{ items: Device[] }>('/devices?limit=1000')
      console.log(flags.json ? JSON.stringify(items) : deviceTable(items))
    })
  for (const [change, description] of Object.entries(STATE_CHANGES))
    devices
      .command(change)
      .description(description)
      .argument('<device>', 'name or id')
      .option('--json')
      .action(async (device: string, flags: Flags) => {
        const changed = await apiClientOf(config).post<Device>(`/devices/${encodeURIComponent(device)}/${change}`)
        console.log(flags.json ? JSON.stringify(changed) : `${changed.name} is ${changed.state}`)
      })
  devices
    .command('config')
    .description('show or change how a device runs; what its own command line says wins')
    .argument('<device>', 'name or id')
    .option('--slots <n>', 'inferences at a time', number)
    .option('--threads <n>', 'threads of one inference', number)
    .addOption(new Option('--runtime <name>').choices(['auto', 'litert', 'tfjs-tflite', 'tfjs-tflite-node']))
    .addOption(new Option('--log-level <level>').choices(['trace', 'debug', 'info', 'warn', 'error']))
    .option('--max-temperature <celsius>', 'refuse work from here on', number)
    .option('--min-free-mb <n>', 'refuse work below this much free memory', number)
    .option('--min-battery <percent>', 'refuse work below this while the battery discharges', number)
    .option('--unset <settings>', 'take settings back: all, or for example slots,log-level', settings, [])
    .option('--json')
    .action(async (device: string, flags: ConfigFlags) => {
      const state = await configure(apiClientOf(config), device, patchOf(flags))
      console.log(flags.json ? JSON.stringify(state) : configTable(state))
    })
  devices
    .command('rotate-key')
    .description('have a device make itself a new key; the old one is void from then on')
    .argument('<device>', 'name or id')
    .option('--json')
    .action(async (device: string, flags: Flags) => {
      const state = await rotateKey(apiClientOf(config), device)
      console.log(flags.json ? JSON.stringify(state) : `${state.name} has a new key (sha256 ${state.keySha256}).`)
    })
  devices
    .command('diagnostics')
    .description("a device's recent log, configuration, versions and state, as a .tar.gz")
    .argument('<device>', 'name or id')
    .option('--out <file>', 'where to write it (default skerry-DEVICE.tar.gz)')
    .option('--json')
    .action(async (device: string, flags: Flags & { out?: string }) => {
      const file = flags.out ?? `skerry-${device}.tar.gz`
      const diagnostics = await diagnose(apiClientOf(config), device, file)
      console.log(flags.json ? JSON.stringify({ ...diagnostics, file }) : `${file} (${diagnostics.bytes} bytes)`)
    })
}

function patchOf(flags: ConfigFlags): DeviceConfigPatch {
  const { slots, threads, runtime, logLevel, maxTemperature, minFreeMb, minBattery, unset } = flags
  return {
    ...Object.fromEntries(unset.map((setting) => [setting, null])),
    ...(slots === undefined ? {} : { slots }),
    ...(threads === undefined ? {} : { threads }),
    ...(runtime === undefined ? {} : { runtime }),
    ...(logLevel === undefined ? {} : { logLevel }),
    ...(maxTemperature === undefined ? {} : { maxTemperatureC: maxTemperature }),
    ...(minFreeMb === undefined ? {} : { minFreeMemoryBytes: Math.round(minFreeMb * 1_000_000) }),
    ...(minBattery === undefined ? {} : { minBatteryPercent: minBattery })
  }
}

/** Resolves with the device's answer; where none comes, with what is known, for the device takes it up later. */
async function configure(client: ApiClient, device: string, patch: DeviceConfigPatch): Promise<DeviceConfigState> {
  const route = `/devices/${encodeURIComponent(device)}`
  if (Object.keys(patch).length === 0) return client.get(`${route}/config`)
  const body = JSON.stringify(patch)
  let state = await client.request<DeviceConfigState>('PATCH', `${route}/config`, body, {
    'content-type': 'application/json'
  })
  if (!state.understood) throw new CliError(`The agent of ${device} is too old to be configured from here: update it`)
  const { state: online } = await client.get<Device>(route)
  const until = Date.now() + (online === 'offline' ? 0 : ANSWER_WITHIN_MS)
  while (state.report?.revision !== state.revision && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    state = await client.get(`${route}/config`)
  }
  return state
}

async function rotateKey(client: ApiClient, device: string): Promise<Device> {
  const route = `/devices/${encodeURIComponent(device)}`
  const { keySha256 } = await client.post<Device>(`${route}/rotate-key`)
  for (const until = Date.now() + ANSWER_WITHIN_MS; Date.now() < until; ) {
    const state = await client.get<Device>(route)
    if (state.keySha256 !== keySha256) return state
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new CliError(
    `${device} was asked, but has no new key yet; why, its log says: skerry devices diagnostics ${device}`
  )
}

async function diagnose(client: ApiClient, device: string, file: string): Promise<Diagnostics> {
  const route = `/devices/${encodeURIComponent(device)}/diagnostics`
  const { id } = await client.post<Diagnostics>(route)
  for (;;) {
    const diagnostics = await client.get<Diagnostics>(`${route}/${id}?waitMs=10000`)
    if (diagnostics.state === 'failed') throw new CliError(`${device}: ${diagnostics.reason ?? 'it gathered nothing'}`)
    if (diagnostics.state === 'gathering') continue
    await pipeline(await client.getStream(`${route}/${id}/bundle.tar.gz`), createWriteStream(file, { mode: 0o600 }))
    return diagnostics
  }
}

function configTable({ wanted, revision, report }: DeviceConfigState): string {
  const current = report?.revision === revision ? report : null
  const applied: Partial<Record<string, unknown>> = report?.applied ?? {}
  const rows = Object.entries(SETTINGS).map(([name, setting]) => [
    name,
    cell(setting, wanted[setting]),
    cell(setting, applied[setting]),
    current?.refused.find((refusal) => refusal.setting === setting)?.reason ?? ''
  ])
  const runtimes = report?.applied.runtimes.map(({ name, version }) => `${name} ${version}`).join(', ')
  const note =
    revision > 0 && current === null
      ? '\nThe device has not answered this yet: it does when it is connected.'
      : runtimes === undefined
        ? ''
        : `\nIt runs ${runtimes}.`
  return `${renderTable(['setting', 'set here', 'runs with', 'why not'], rows)}${note}`
}

const cell = (setting: DeviceSetting, value: unknown): string => {
  if (value === undefined) return '-'
  return setting === 'minFreeMemoryBytes' ? String(Number(value) / 1_000_000) : String(value)
}

/** With what it takes for the model that every device is measured on, which tells fast devices from slow ones. */
function runtimeCell({ capacity }: Device, name: string): string {
  const measured = capacity.benchmark?.find((each) => each.name === name)
  return measured === undefined ? name : `${name} (${milliseconds(measured.float32.p50Ms)})`
}

function servedCell({ deployment, variant, state, benchmark }: Device['models'][number]): string {
  return `${deployment}/${variant} (${[state, ...(benchmark === undefined ? [] : [milliseconds(benchmark.p50Ms)])].join(', ')})`
}

function deviceTable(items: Device[]): string {
  return renderTable(
    ['device', 'state', 'runtimes', 'capabilities', 'serves'],
    items.map((device) => [
      device.name,
      device.state,
      device.facts.runtimes.map(({ name }) => runtimeCell(device, name)).join(', '),
      device.capabilities.join(', '),
      device.models.map(servedCell).join(', ')
    ])
  )
}
