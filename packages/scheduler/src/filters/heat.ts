import type { Filter } from '../framework.ts'

/**
 * Reads the temperature of the last heartbeat. A device that throttles is not refused: it is slow, which its latency
 * shows, and a fleet that throttles on a hot day still has to work.
 */
export const heatFilter: Filter = {
  name: 'heat',
  reads: 'device.health.temperatureC',
  reject: (_, { health }, { limits }) =>
    health?.temperatureC !== undefined && health.temperatureC > limits.temperatureC ? 'too hot' : null
}
