import { afterEach, describe, expect, it } from 'vitest'
import { readCgroup } from '../src/system/cgroup.ts'
import { readCores, readMemory, slotsFor } from '../src/system/resources.ts'
import { readBattery, readTemperatureC, readWatts, ThrottlingReader } from '../src/system/sensors.ts'
import { SystemFiles } from '../src/system/system-files.ts'
import { WorkGate } from '../src/system/work-gate.ts'
import { SystemTree } from './system-tree.ts'

const MIB = 1024 ** 2
const machine = { cores: 4, memoryBytes: 4096 * MIB, freeBytes: 3000 * MIB }
const meminfo = `MemTotal:        ${2048 * 1024} kB\nMemFree:          ${10 * 1024} kB\nMemAvailable:    ${1024 * 1024} kB`

const trees: SystemTree[] = []
afterEach(() => Promise.all(trees.splice(0).map((tree) => tree.remove())))

async function treeOf(files: Record<string, string | number>): Promise<{ tree: SystemTree; files: SystemFiles }> {
  const tree = await SystemTree.make(files)
  trees.push(tree)
  return { tree, files: new SystemFiles(tree.root) }
}

describe('the limits of a control group', () => {
  it('version 2: the narrowest of a group and those around it, droppable cache counted as free', async () => {
    const { files } = await treeOf({
      'proc/self/cgroup': '0::/system.slice/skerry.service',
      'sys/fs/cgroup/system.slice/memory.max': 512 * MIB,
      'sys/fs/cgroup/system.slice/memory.current': 400 * MIB,
      'sys/fs/cgroup/system.slice/memory.stat': `anon 1\ninactive_file ${100 * MIB}\nactive_file 5`,
      'sys/fs/cgroup/system.slice/cpu.max': '150000 100000',
      'sys/fs/cgroup/system.slice/skerry.service/memory.max': 'max',
      'sys/fs/cgroup/system.slice/skerry.service/cpu.max': 'max 100000',
      'proc/meminfo': meminfo
    })
    expect(await readCgroup(files)).toEqual({ memoryBytes: 512 * MIB, memoryFreeBytes: 212 * MIB, cpus: 1.5 })
    expect(await readMemory(files, machine)).toEqual({ totalBytes: 512 * MIB, availableBytes: 212 * MIB })
    expect(await readCores(files, machine)).toBe(2)
  })

  it('version 1: also where the path is the host’s and only the mount is visible', async () => {
    const { files } = await treeOf({
      'proc/self/cgroup': '4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': 256 * MIB,
      'sys/fs/cgroup/memory/memory.usage_in_bytes': 200 * MIB,
      'sys/fs/cgroup/memory/memory.stat': `cache 1\ntotal_inactive_file ${50 * MIB}`,
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': 50_000,
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': 100_000,
      'proc/meminfo': meminfo
    })
    expect(await readCgroup(files)).toEqual({ memoryBytes: 256 * MIB, memoryFreeBytes: 106 * MIB, cpus: 0.5 })
    expect(await readCores(files, machine)).toBe(1)
  })

  it('none: version 1’s huge number and -1, version 2’s max, no files at all', async () => {
    const { files } = await treeOf({
      'proc/self/cgroup': '4:memory:/\n3:cpu:/\n0::/',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': -1,
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': 100_000,
      'sys/fs/cgroup/memory.max': 'max',
      'proc/meminfo': meminfo
    })
    const none = { memoryBytes: null, memoryFreeBytes: null, cpus: null }
    expect(await readCgroup(files)).toEqual(none)
    expect(await readMemory(files, machine)).toEqual({ totalBytes: 2048 * MIB, availableBytes: 1024 * MIB })
    const empty = await treeOf({})
    expect(await readCgroup(empty.files)).toEqual(none)
    expect(await readMemory(empty.files, machine)).toEqual({ totalBytes: 4096 * MIB, availableBytes: 3000 * MIB })
    expect(await readCores(empty.files, machine)).toBe(4)
  })

  it('decide how many inferences run at once, and never none', () => {
    expect(slotsFor({ cores: 4, memoryBytes: 4096 * MIB, threads: 1 })).toBe(4)
    expect(slotsFor({ cores: 4, memoryBytes: 4096 * MIB, threads: 2 })).toBe(2)
    expect(slotsFor({ cores: 4, memoryBytes: 1024 * MIB, threads: 1 })).toBe(2)
    expect(slotsFor({ cores: 1, memoryBytes: 64 * MIB, threads: 4 })).toBe(1)
  })
})

describe('the sensors', () => {
  it('tell the hottest credible zone, or the hottest chip where there are no zones', async () => {
    const { files, tree } = await treeOf({
      'sys/class/hwmon/hwmon0/temp1_input': 61_000,
      'sys/class/hwmon/hwmon0/name': 'coretemp'
    })
    expect(await readTemperatureC(files)).toBe(61)
    await tree.write({
      'sys/class/thermal/thermal_zone0/temp': 48_250,
      'sys/class/thermal/thermal_zone1/temp': 51_949,
      'sys/class/thermal/thermal_zone2/temp': -273_000,
      'sys/class/thermal/thermal_zone3/temp': 255_000
    })
    expect(await readTemperatureC(files)).toBe(51.9)
    expect(await readTemperatureC((await treeOf({})).files)).toBeNull()
  })

  it('tell throttling and undervoltage of a Raspberry Pi: what holds now, not what once did', async () => {
    const path = 'sys/devices/platform/soc/soc:firmware/get_throttled'
    const { files, tree } = await treeOf({ [path]: '50005' })
    const reader = new ThrottlingReader(files)
    expect(await reader.read()).toEqual({ throttled: true, undervoltage: true })
    await tree.write({ [path]: '50000' })
    expect(await reader.read()).toEqual({ throttled: false, undervoltage: false })
    await tree.write({ 'sys/class/hwmon/hwmon1/name': 'rpi_volt', 'sys/class/hwmon/hwmon1/in0_lcrit_alarm': 1 })
    expect(await reader.read()).toEqual({ throttled: false, undervoltage: true })
  })

  it('tell throttling by cooling devices of the CPU and by growing counters, and nothing where nothing is told', async () => {
    const { files, tree } = await treeOf({
      'sys/class/thermal/cooling_device0/type': 'cpufreq-cpu0',
      'sys/class/thermal/cooling_device0/cur_state': 0,
      'sys/class/thermal/cooling_device1/type': 'pwm-fan',
      'sys/class/thermal/cooling_device1/cur_state': 3
    })
    const reader = new ThrottlingReader(files)
    expect(await reader.read()).toEqual({ throttled: false })
    await tree.write({ 'sys/class/thermal/cooling_device0/cur_state': 2 })
    expect(await reader.read()).toEqual({ throttled: true })
    const counter = 'sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count'
    const intel = await treeOf({ [counter]: 7 })
    const counting = new ThrottlingReader(intel.files)
    expect(await counting.read()).toEqual({ throttled: false })
    await intel.tree.write({ [counter]: 9 })
    expect(await counting.read()).toEqual({ throttled: true })
    expect(await counting.read()).toEqual({ throttled: false })
    expect(await new ThrottlingReader((await treeOf({})).files).read()).toEqual({})
  })

  it('tell the battery of the machine, not of its mouse', async () => {
    const { files } = await treeOf({
      'sys/class/power_supply/AC/type': 'Mains',
      'sys/class/power_supply/BAT0/type': 'Battery',
      'sys/class/power_supply/BAT0/capacity': 71,
      'sys/class/power_supply/BAT0/status': 'Discharging',
      'sys/class/power_supply/hid-1/type': 'Battery',
      'sys/class/power_supply/hid-1/scope': 'Device',
      'sys/class/power_supply/hid-1/capacity': 3
    })
    expect(await readBattery(files)).toEqual({ percent: 71, discharging: true })
    expect(await readBattery((await treeOf({})).files)).toBeNull()
  })

  it('tell the power of the machine: what its battery gives, else what the board takes in', async () => {
    const rails = {
      'sys/class/hwmon/hwmon0/name': 'coretemp',
      'sys/class/hwmon/hwmon0/temp1_input': 50_000,
      'sys/class/hwmon/hwmon1/power1_input': 7_250_000,
      'sys/class/hwmon/hwmon1/power2_input': 2_100_000
    }
    const battery = (status: string, more: Record<string, string | number>) => ({
      'sys/class/power_supply/BAT0/type': 'Battery',
      'sys/class/power_supply/BAT0/status': status,
      ...Object.fromEntries(Object.entries(more).map(([key, value]) => [`sys/class/power_supply/BAT0/${key}`, value]))
    })
    const current = { current_now: -1_500_000, voltage_now: 4_000_000 }
    const watts = async (tree: Record<string, string | number>) => readWatts((await treeOf(tree)).files)
    expect(await watts(rails)).toBe(7.25)
    expect(await watts({ ...rails, ...battery('Discharging', { power_now: 9_000_000 }) })).toBe(9)
    expect(await watts({ ...rails, ...battery('Discharging', current) })).toBe(6)
    expect(await watts({ ...rails, ...battery('Charging', current) })).toBe(7.25)
    expect(await watts({ 'sys/class/hwmon/hwmon1/power1_input': 0 })).toBeNull()
    expect(await watts({})).toBeNull()
  })
})

describe('the gate of work', () => {
  const zone = 'sys/class/thermal/thermal_zone0/temp'
  const battery = (percent: number, status: string): Record<string, string | number> => ({
    'sys/class/power_supply/BAT0/type': 'Battery',
    'sys/class/power_supply/BAT0/capacity': percent,
    'sys/class/power_supply/BAT0/status': status
  })

  async function gateOf(start: Record<string, string | number>) {
    const { tree, files } = await treeOf({ 'proc/meminfo': meminfo, ...start })
    const limits = { minFreeMemoryBytes: 64 * MIB, maxTemperatureC: 80, minBatteryPercent: 15 }
    const clock = { ms: 0 }
    const changes: (string | null)[] = []
    const gate = new WorkGate({ files, machine, limits, now: () => clock.ms, onChange: (why) => changes.push(why) })
    const after = async (change: Record<string, string | number>): Promise<string | null> => {
      await tree.write(change)
      clock.ms += 2_000
      return gate.refusal()
    }
    return { gate, after, changes, tree }
  }

  it('closes at the limit of heat, and opens when the device has cooled by more than a little', async () => {
    const { gate, after, changes } = await gateOf({ [zone]: 79_000 })
    await expect(gate.admit()).resolves.toBeUndefined()
    expect(await after({ [zone]: 80_500 })).toMatch(/80.5 °C hot.*below 80 °C/)
    await expect(gate.admit()).rejects.toMatchObject({ code: 'device-limited', retryable: true })
    expect(await after({ [zone]: 76_000 })).toMatch(/76 °C/)
    expect(await after({ [zone]: 74_000 })).toBeNull()
    expect(changes).toEqual([expect.stringMatching(/80.5/), null])
  })

  it('closes for want of memory, and when a battery that discharges is low, with all reasons', async () => {
    const { after } = await gateOf(battery(14, 'Charging'))
    expect(await after({})).toBeNull()
    expect(await after(battery(14, 'Discharging'))).toMatch(/battery is at 14 %/)
    expect(await after(battery(18, 'Discharging'))).toMatch(/battery is at 18 %/)
    expect(await after(battery(20, 'Discharging'))).toBeNull()
    const short = meminfo.replace(/MemAvailable: +\d+/, `MemAvailable: ${50 * 1024}`)
    const both = await after({ 'proc/meminfo': short, ...battery(2, 'Discharging') })
    expect(both).toMatch(/50 MiB of memory left.*battery is at 2 %/)
  })

  it('reads once for many that ask at a time', async () => {
    const { gate, tree } = await gateOf({ [zone]: 50_000 })
    await Promise.all([gate.admit(), gate.admit()])
    await tree.write({ [zone]: 99_000 })
    expect(await gate.refusal()).toBeNull()
  })
})
