import type { Deployment, Explanation, Job } from '@skerry/contracts'
import type { Command } from 'commander'
import { apiClientOf } from '../api-client.ts'
import type { CliConfig } from '../config.ts'
import { renderTable } from '../table.ts'

type Listed<T> = { items: T[]; nextPageToken?: string }
type Flags = { json?: boolean }

/** Commands that show or change what a control plane holds. */
export function resourceCommands(program: Command, config: CliConfig): void {
  const client = () => apiClientOf(config)
  const show = (flags: Flags, value: unknown, text: () => string) =>
    console.log(flags.json ? JSON.stringify(value) : text())

  program
    .command('deployments')
    .description('what is placed where, and why not elsewhere')
    .command('list', { isDefault: true })
    .description('all deployments, a line for each device')
    .option('--json')
    .action(async (flags: Flags) => {
      const { items } = await client().get<Listed<Deployment>>('/deployments?limit=1000')
      show(flags, items, () =>
        renderTable(
          ['deployment', 'phase', 'device', 'variant', 'state', 'reason'],
          items.flatMap((deployment) =>
            deployment.devices.map((placement) => [
              deployment.name,
              deployment.phase,
              placement.deviceName,
              placement.variant ?? '',
              placement.state,
              placement.reason ??
                (placement.passedOver ?? []).map(({ variant, reason }) => `cannot run ${variant}: ${reason}`).join('; ')
            ])
          )
        )
      )
    })

  const jobs = program.command('jobs').description('inferences, conversions, benchmarks')
  jobs
    .command('list', { isDefault: true })
    .description('the newest jobs')
    .option('--state <state>', 'queued, running, succeeded, failed, cancelled or expired')
    .option('--limit <n>', 'at most', '20')
    .option('--json')
    .action(async (flags: Flags & { state?: string; limit: string }) => {
      const state = flags.state === undefined ? '' : `&state=${encodeURIComponent(flags.state)}`
      const { items } = await client().get<Listed<Job>>(`/jobs?limit=${encodeURIComponent(flags.limit)}${state}`)
      show(flags, items, () =>
        renderTable(
          ['job', 'kind', 'state', 'model', 'attempts', 'created', 'error'],
          items.map((job) => [
            job.id,
            job.kind,
            job.state,
            job.model ?? '',
            String(job.attempts.length),
            job.createdAt,
            job.error?.message ?? ''
          ])
        )
      )
    })
  jobs
    .command('get <id>')
    .option('--json')
    .action(async (id: string, flags: Flags) => {
      const job = await client().get<Job>(`/jobs/${encodeURIComponent(id)}`)
      show(flags, job, () => JSON.stringify(job, null, 2))
    })
  jobs
    .command('explain <id>')
    .description('why a job is where it is: every device, with what speaks against it')
    .option('--json')
    .action(async (id: string, flags: Flags) => {
      const explanation = await client().get<Explanation>(`/jobs/${encodeURIComponent(id)}/explanation`)
      show(flags, explanation, () => describe(explanation))
    })
  jobs
    .command('cancel <id>')
    .option('--json')
    .action(async (id: string, flags: Flags) => {
      const job = await client().post<Job>(`/jobs/${encodeURIComponent(id)}/cancel`)
      show(flags, job, () => `${job.id} ${job.state}`)
    })
}

function describe({ summary, rejected, candidates, names = {} }: Explanation): string {
  const nameOf = (id: string): string => names[id] ?? id
  const parts = [summary]
  if (rejected.length > 0)
    parts.push(
      renderTable(
        ['devices', 'filter', 'reason', 'for example'],
        rejected.map(({ count, filter, reason, examples }) => [
          String(count),
          filter,
          reason,
          examples.map(nameOf).join(' ')
        ])
      )
    )
  if (candidates.length > 0)
    parts.push(
      renderTable(
        ['candidate', 'done in', 'runs', 'p50', 'p95', 'chosen'],
        candidates.map(({ device, predictedFinishMs, measured, chosen }) => [
          nameOf(device),
          `${predictedFinishMs.toFixed(1)} ms`,
          measured === undefined ? '-' : String(measured.runs),
          measured === undefined ? '-' : `${measured.p50Ms.toFixed(1)} ms`,
          measured === undefined ? '-' : `${measured.p95Ms.toFixed(1)} ms`,
          chosen ? 'yes' : ''
        ])
      )
    )
  return parts.join('\n\n')
}
