import type { Plan, PlannedDevice, PlanRequest, Requirements } from '@skerry/contracts'
import { type Command, InvalidArgumentError } from 'commander'
import { apiClientOf } from '../api-client.ts'
import { megabytes, milliseconds, share } from '../cells.ts'
import type { CliConfig } from '../config.ts'
import { renderTable } from '../table.ts'

type Candidate = PlanRequest['candidates'][number]
type Flags = {
  maxLatency?: number
  minAgreement?: number
  maxAccuracyDrop?: number
  maxMemory?: number
  selector?: Record<string, string>
  json?: boolean
}

const NAMES = 3
const UNITS: Record<string, number> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3
}

export function planCommand(program: Command, config: CliConfig): void {
  program
    .command('plan')
    .description('which of these models and variants would run where, how fast, or why not; nothing moves')
    .argument('<model@version...>', 'for example the widths of a family, the preferred one first', candidate)
    .option('--max-latency <ms>', '95 of 100 inferences on the device are within it', positive)
    .option('--min-agreement <share>', "of decisions that equal the original's, such as .95", fraction)
    .option('--max-accuracy-drop <share>', 'below the most accurate original, on labelled data, such as .01', fraction)
    .option('--max-memory <bytes>', 'of the runtime process, such as 50MB or 48MiB', bytes)
    .option('--selector <key=value>', 'only devices with this label; may be given several times', label)
    .option('--json', 'one entry a device, as the server answers')
    .addHelpText(
      'after',
      '\nExample: skerry plan face@1 face-small@1 --max-latency 20 --max-accuracy-drop .01 --selector site=north' +
        '\n\nA latency with ~ is predicted from other devices and models; a benchmark there would measure it.' +
        '\nThe same requirements in POST /deployments are held to.'
    )
    .action(async (candidates: Candidate[], flags: Flags) => {
      const request: PlanRequest = { candidates, requirements: requirementsOf(flags) }
      const plan = await apiClientOf(config).post<Plan>('/plans', request)
      console.log(flags.json ? JSON.stringify(plan) : planText(plan))
    })
}

function candidate(text: string, all: Candidate[] = []): Candidate[] {
  const [model, version, ...rest] = text.split('@')
  if (!model || !version || rest.length > 0) throw new InvalidArgumentError('MODEL@VERSION, such as face@1')
  return [...all, { model, version }]
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('a number above 0')
  return value
}

function fraction(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0 && value <= 1)) throw new InvalidArgumentError('a number from 0 to 1')
  return value
}

function bytes(text: string): number {
  const [, number = '', unit = ''] = /^([\d.]+) ?([a-z]*)$/i.exec(text.trim()) ?? []
  const value = Math.round(Number(number) * (UNITS[unit.toUpperCase()] ?? Number.NaN))
  if (!(value >= 1)) throw new InvalidArgumentError('bytes, such as 50MB, 48MiB or 50000000')
  return value
}

function label(text: string, all: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('key=value')
  return { ...all, [text.slice(0, at)]: text.slice(at + 1) }
}

function requirementsOf({ maxLatency, minAgreement, maxAccuracyDrop, maxMemory, selector }: Flags): Requirements {
  return {
    ...(maxLatency === undefined ? {} : { maxLatencyMs: maxLatency }),
    ...(minAgreement === undefined ? {} : { minAgreement }),
    ...(maxAccuracyDrop === undefined ? {} : { maxAccuracyDrop }),
    ...(maxMemory === undefined ? {} : { maxMemoryBytes: maxMemory }),
    ...(selector === undefined ? {} : { selector })
  }
}

/** Devices that get the same stand together; their latency is the group's range. */
function planText({ summary, devices }: Plan): string {
  const groups = new Map<string, PlannedDevice[]>()
  for (const device of devices) {
    const { model, version, variant, runtime, reasons } = device
    // The figures in reasons differ from device to device, what they speak of does not.
    const missed = variant === null ? reasons.map((each) => `${each.filter} ${each.model} ${each.variant}`) : []
    const key = [model, version, variant, runtime, ...missed].join('\n')
    const group = groups.get(key) ?? []
    if (group.length === 0) groups.set(key, group)
    group.push(device)
  }
  const ordered = [...groups.values()].sort((a, b) => rankOf(a) - rankOf(b) || b.length - a.length)
  const rows = ordered.map((group) => rowOf(group as [PlannedDevice, ...PlannedDevice[]]))
  const head = [
    'devices',
    'which',
    'gets',
    'runtime',
    'p50',
    'p95',
    'memory',
    'accuracy',
    'agreement',
    'why not better'
  ]
  return rows.length === 0 ? summary : `${renderTable(head, rows)}\n\n${summary}`
}

const rankOf = ([first]: PlannedDevice[]): number => (first?.variant === null ? 1 : 0)

function rowOf(group: [PlannedDevice, ...PlannedDevice[]]): string[] {
  const [first] = group
  const names = group.slice(0, NAMES).map(({ deviceName }) => deviceName)
  const more = group.length > NAMES ? ` and ${group.length - NAMES} more` : ''
  const latencies = group.flatMap(({ latency }) => latency ?? [])
  const isPredicted = latencies.some(({ source }) => source === 'predicted')
  const range = (values: number[]) => {
    if (values.length === 0) return '-'
    const low = milliseconds(Math.min(...values))
    const high = milliseconds(Math.max(...values))
    return `${isPredicted ? '~' : ''}${low === high ? low : `${low.replace(' ms', '')} to ${high}`}`
  }
  const memory = Math.max(...group.map((device) => device.memory?.bytes ?? 0))
  return [
    String(group.length),
    `${names.join(', ')}${more}`,
    first.variant === null ? 'nothing' : `${first.model}@${first.version} ${first.variant}`,
    first.runtime ?? '-',
    range(latencies.map(({ p50Ms }) => p50Ms)),
    range(latencies.map(({ p95Ms }) => p95Ms)),
    memory === 0 ? '-' : megabytes(memory),
    share(first.accuracy),
    share(first.agreement),
    why(first)
  ]
}

function why({ reasons }: PlannedDevice): string {
  const words = reasons.map(({ model, variant, reason }) =>
    variant === undefined ? `${model ?? ''} ${reason}`.trim() : `${model} ${variant}: ${reason}`
  )
  return words.length > 2 ? `${words.slice(0, 2).join(' | ')} | ${words.length - 2} more` : words.join(' | ')
}
