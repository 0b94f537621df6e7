import { rm } from 'node:fs/promises'
import type { DesiredArtifact, PlacementState } from '@skerry/contracts'
import type { AgentPoint } from '../../src/agent-point.ts'
import type { AgentOptions } from '../../src/index.ts'
import { ControlPlane } from '../control-plane.ts'
import { faceDetector } from '../models.ts'
import { type DiskState, diskState } from './disk-state.ts'
import { MortalAgent } from './mortal-agent.ts'

export const model = faceDetector()

const READY_MS = 60_000

/** A control plane that stays, and one device's agents, one after the other in the same data directory. */
export class CrashScene {
  readonly controlPlane: ControlPlane
  readonly dataDir: string
  readonly wish: DesiredArtifact
  readonly #changes: Partial<AgentOptions> = {}
  readonly #agents: MortalAgent[] = []

  static async open(dataDir: string): Promise<CrashScene> {
    return new CrashScene(await ControlPlane.start(), dataDir)
  }

  private constructor(controlPlane: ControlPlane, dataDir: string) {
    this.controlPlane = controlPlane
    this.dataDir = dataDir
    this.wish = controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names })
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) await agent.kill()
    await this.controlPlane.stop()
    await rm(this.dataDir, { recursive: true, force: true })
  }

  /** Changes hold for later starts too. */
  start(last?: AgentPoint, changes: Partial<AgentOptions> = {}): MortalAgent {
    Object.assign(this.#changes, changes)
    const options: AgentOptions = {
      url: this.controlPlane.url,
      dataDir: this.dataDir,
      token: 'join-me',
      runtime: 'tfjs-tflite',
      // What nobody wants leaves the disk at once.
      cacheBytes: 0,
      ...this.#changes
    }
    const agent = new MortalAgent(options, last)
    this.#agents.push(agent)
    return agent
  }

  /** Kills the agent once it stands at its point, and looks at what it left. */
  async killedAtPoint(agent: MortalAgent): Promise<DiskState> {
    await agent.reached()
    await agent.kill()
    return diskState(this.dataDir)
  }

  /** Starts the agent again, to no point; resolves with the number of its first session. */
  async restart(): Promise<number> {
    const session = this.controlPlane.sessions + 1
    this.start()
    await this.controlPlane.session(session)
    return session
  }

  async ready(session: number): Promise<void> {
    const fits = ({ state }: { state: PlacementState }, received: { session: number }): boolean =>
      received.session === session && state === 'ready'
    await this.controlPlane.frame('placement', fits, READY_MS)
  }

  /** The points that the agent started last has reached. */
  points(): string[] {
    return this.#agents.at(-1)?.points() ?? []
  }
}
