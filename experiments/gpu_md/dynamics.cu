// Langevin dynamics of many small molecules on a GPU: one thread block per molecule, a whole trajectory per launch.
//
// The physics is that of ebabench.physics.langevin, kernel, bonded and bond_constraints, whose comments have the
// sources: Amber bonded terms, Lennard-Jones, Coulomb and GBn2 over all pairs, bonds to hydrogen of fixed length, the
// middle scheme of Langevin dynamics. Forces are of single, positions and constraints of double precision. No atomic
// operation is used: a trajectory is the same in every run on one kind of GPU.
//
// The same source compiles as C++ (g++ -x c++ -DHOST), with one thread per molecule, for tests without a GPU.

#ifdef HOST
#include <cmath>
#include <cstdint>
#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define SHARED_ARRAY static unsigned char shared_memory[1 << 20]
static int block_index;
static inline void barrier() {}
static inline int thread_index() { return 0; }
static inline int thread_count() { return 1; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline void sincospif(float x, float *s, float *c) { *s = sinf(x * 3.14159265358979f), *c = cosf(x * 3.14159265358979f); }
static inline float fast_exp(float x) { return expf(x); }
static inline float fast_log(float x) { return logf(x); }
typedef uint64_t u64;
typedef uint32_t u32;
#else
#define block_index blockIdx.x
#define SHARED_ARRAY extern __shared__ unsigned char shared_memory[]
#define barrier __syncthreads
#define thread_index() int(threadIdx.x)
#define thread_count() int(blockDim.x)
#define fast_exp __expf
#define fast_log __logf
typedef unsigned long long u64;
typedef unsigned int u32;
#endif

#ifndef THREADS
#define THREADS 256
#endif
#ifndef BLOCKS_PER_SM
#define BLOCKS_PER_SM 2
#endif
#ifdef HOST
#define BOUNDS
#else
#define BOUNDS __launch_bounds__(THREADS, BLOCKS_PER_SM)
#endif

// Counts of a molecule, and where its numbers begin in the three arrays of all molecules.
enum { ATOMS, CLUSTERS, BONDS, ANGLES, TORSIONS, KINDS, PAIRS, SLOTS, INTS, FLOATS, DOUBLES, HEAVY, COUNTS };

const int FOLDS = 4;  // periodicities of torsions
const float NECK_SCALE = 0.826836f, NECK_REACH = 0.68f, NEAREST = 1e-6f, COULOMB = 138.93545764438198f;

struct Molecule {
    int n, clusters, bonds, angles, torsions, kinds, heavy_count;
    const int *kind, *excluded, *pair_first, *pair_other, *cluster, *bond, *angle, *torsion, *slot_first, *slot, *heavy;
    const float *charge, *half_sigma, *root_epsilon, *offset_radius, *radius, *screened, *alpha, *beta, *gamma;
    const float *neck_depth, *neck_distance, *pair_own, *bond_own, *angle_own, *series;
    const double *inverse_mass, *length;
};

__device__ __forceinline__ Molecule molecule_at(const int *counts, const int *ints, const float *floats, const double *doubles) {
    Molecule m;
    m.n = counts[ATOMS], m.clusters = counts[CLUSTERS], m.bonds = counts[BONDS], m.angles = counts[ANGLES];
    m.torsions = counts[TORSIONS], m.kinds = counts[KINDS], m.heavy_count = counts[HEAVY];
    const int n = m.n;
    const int *i = ints + counts[INTS];
    m.kind = i, i += n;
    m.excluded = i, i += 4 * n;
    m.pair_first = i, i += n + 1;
    m.pair_other = i, i += counts[PAIRS];
    m.cluster = i, i += 4 * m.clusters;
    m.bond = i, i += 2 * m.bonds;
    m.angle = i, i += 3 * m.angles;
    m.torsion = i, i += 4 * m.torsions;
    m.slot_first = i, i += n + 1;
    m.slot = i, i += counts[SLOTS];
    m.heavy = i;
    const float *f = floats + counts[FLOATS];
    m.charge = f, f += n;
    m.half_sigma = f, f += n;
    m.root_epsilon = f, f += n;
    m.offset_radius = f, f += n;
    m.radius = f, f += n;
    m.screened = f, f += n;
    m.alpha = f, f += n;
    m.beta = f, f += n;
    m.gamma = f, f += n;
    m.neck_depth = f, f += m.kinds * m.kinds;
    m.neck_distance = f, f += m.kinds * m.kinds;
    m.pair_own = f, f += 3 * counts[PAIRS];
    m.bond_own = f, f += 2 * m.bonds;
    m.angle_own = f, f += 2 * m.angles;
    m.series = f;
    m.inverse_mass = doubles + counts[DOUBLES];
    m.length = m.inverse_mass + n;
    return m;
}

// What a block keeps in shared memory.
struct Shared {
    double *x, *v, *length;                           // [3, n], [3, n], [clusters, 3]
    float *at, *force, *bonded;                       // [3, n]
    float *charge, *half_sigma, *root_epsilon, *offset_radius, *radius, *screened, *born, *inverse_born, *chain, *g;
    float *partial;                                   // [groups, 4, n]
    float *slope;                                     // [n, n + 1], or forces of the bonded terms [3, slots]
    float *inverse_mass, *neck_depth, *neck_distance; // [n], [kinds, kinds]
    int *kind, *cluster;                              // [n], [clusters, 4]
};

__device__ __forceinline__ Shared carve(unsigned char *memory, const Molecule &m, int groups) {
    Shared s;
    const int n = m.n;
    s.x = reinterpret_cast<double *>(memory);
    s.v = s.x + 3 * n;
    s.length = s.v + 3 * n;
    float *f = reinterpret_cast<float *>(s.length + 3 * m.clusters);
    s.at = f, f += 3 * n;
    s.force = f, f += 3 * n;
    s.bonded = f, f += 3 * n;
    s.charge = f, f += n;
    s.half_sigma = f, f += n;
    s.root_epsilon = f, f += n;
    s.offset_radius = f, f += n;
    s.radius = f, f += n;
    s.screened = f, f += n;
    s.born = f, f += n;
    s.inverse_born = f, f += n;
    s.chain = f, f += n;
    s.g = f, f += n;
    s.inverse_mass = f, f += n;
    s.neck_depth = f, f += m.kinds * m.kinds;
    s.neck_distance = f, f += m.kinds * m.kinds;
    s.kind = reinterpret_cast<int *>(f), f += n;
    s.cluster = reinterpret_cast<int *>(f), f += 4 * m.clusters;
    s.partial = f, f += groups * 4 * n;
    s.slope = f;
    return s;
}

__device__ __forceinline__ float square(float x) { return x * x; }

// Forces of bonds, angles and torsions, each atom's share in its own slot [3, slots]; returns the energy of this thread.
__device__ float bonded_terms(const Molecule &m, const float *at, float *slot, int slots, int t, int threads) {
    const int n = m.n;
    const float *X = at, *Y = at + n, *Z = at + 2 * n;
    float *sx = slot, *sy = slot + slots, *sz = slot + 2 * slots;
    float energy = 0;
    for (int k = t; k < m.torsions; k += threads) {
        const int a = m.torsion[4 * k], b = m.torsion[4 * k + 1], c = m.torsion[4 * k + 2], d = m.torsion[4 * k + 3];
        const float fx = X[a] - X[b], fy = Y[a] - Y[b], fz = Z[a] - Z[b];
        const float gx = X[b] - X[c], gy = Y[b] - Y[c], gz = Z[b] - Z[c];
        const float hx = X[d] - X[c], hy = Y[d] - Y[c], hz = Z[d] - Z[c];
        const float ax = fy * gz - fz * gy, ay = fz * gx - fx * gz, az = fx * gy - fy * gx;
        const float bx = hy * gz - hz * gy, by = hz * gx - hx * gz, bz = hx * gy - hy * gx;
        const float a2 = fmaxf(ax * ax + ay * ay + az * az, 1e-18f), b2 = fmaxf(bx * bx + by * by + bz * bz, 1e-18f);
        const float g = sqrtf(gx * gx + gy * gy + gz * gz);
        const float scale = rsqrtf(a2) * rsqrtf(b2);
        const float cosine = (ax * bx + ay * by + az * bz) * scale;
        const float sine = ((by * az - bz * ay) * gx + (bz * ax - bx * az) * gy + (bx * ay - by * ax) * gz) * scale / g;
        float cn = cosine, sn = sine, cp = 1, sp = 0, slope = 0;
        const float *own = m.series + 2 * FOLDS * k;
        for (int fold = 0; fold < FOLDS; ++fold) {
            const float ka = own[fold], kb = own[FOLDS + fold];
            energy += ka * cn + kb * sn;
            slope += float(fold + 1) * (kb * cn - ka * sn);
            const float c2 = 2 * cosine * cn - cp, s2 = 2 * cosine * sn - sp;
            cp = cn, sp = sn, cn = c2, sn = s2;
        }
        const float i = slope * g / a2, l = slope * g / b2;
        const float p = slope * (fx * gx + fy * gy + fz * gz) / (a2 * g), q = slope * (hx * gx + hy * gy + hz * gz) / (b2 * g);
        const int o = 4 * k;
        sx[o] = i * ax, sy[o] = i * ay, sz[o] = i * az;
        sx[o + 1] = q * bx - (i + p) * ax, sy[o + 1] = q * by - (i + p) * ay, sz[o + 1] = q * bz - (i + p) * az;
        sx[o + 2] = p * ax - (q - l) * bx, sy[o + 2] = p * ay - (q - l) * by, sz[o + 2] = p * az - (q - l) * bz;
        sx[o + 3] = -l * bx, sy[o + 3] = -l * by, sz[o + 3] = -l * bz;
    }
    const int first_angle = 4 * m.torsions;
    for (int k = t; k < m.angles; k += threads) {
        const int a = m.angle[3 * k], b = m.angle[3 * k + 1], c = m.angle[3 * k + 2];
        float ux = X[a] - X[b], uy = Y[a] - Y[b], uz = Z[a] - Z[b];
        float vx = X[c] - X[b], vy = Y[c] - Y[b], vz = Z[c] - Z[b];
        const float uinv = rsqrtf(ux * ux + uy * uy + uz * uz), vinv = rsqrtf(vx * vx + vy * vy + vz * vz);
        ux *= uinv, uy *= uinv, uz *= uinv, vx *= vinv, vy *= vinv, vz *= vinv;
        const float cosine = fminf(fmaxf(ux * vx + uy * vy + uz * vz, -1.0f), 1.0f);
        // The sine from the cross product: an arc cosine loses digits near a straight angle.
        const float wx = uy * vz - uz * vy, wy = uz * vx - ux * vz, wz = ux * vy - uy * vx;
        const float sine = sqrtf(wx * wx + wy * wy + wz * wz);
        const float bend = atan2f(sine, cosine) - m.angle_own[2 * k], strength = m.angle_own[2 * k + 1];
        energy += 0.5f * strength * bend * bend;
        const float de = strength * bend / fmaxf(sine, 1e-6f), du = de * uinv, dv = de * vinv;
        const float ax = du * (vx - cosine * ux), ay = du * (vy - cosine * uy), az = du * (vz - cosine * uz);
        const float cx = dv * (ux - cosine * vx), cy = dv * (uy - cosine * vy), cz = dv * (uz - cosine * vz);
        const int o = first_angle + 3 * k;
        sx[o] = ax, sy[o] = ay, sz[o] = az;
        sx[o + 1] = -(ax + cx), sy[o + 1] = -(ay + cy), sz[o + 1] = -(az + cz);
        sx[o + 2] = cx, sy[o + 2] = cy, sz[o + 2] = cz;
    }
    const int first_bond = first_angle + 3 * m.angles;
    for (int k = t; k < m.bonds; k += threads) {
        const int a = m.bond[2 * k], b = m.bond[2 * k + 1];
        float dx = X[b] - X[a], dy = Y[b] - Y[a], dz = Z[b] - Z[a];
        const float r = sqrtf(dx * dx + dy * dy + dz * dz);
        const float stretch = r - m.bond_own[2 * k], strength = m.bond_own[2 * k + 1];
        energy += 0.5f * strength * stretch * stretch;
        const float de = strength * stretch / r;
        dx *= de, dy *= de, dz *= de;
        const int o = first_bond + 2 * k;
        sx[o] = dx, sy[o] = dy, sz[o] = dz;
        sx[o + 1] = -dx, sy[o + 1] = -dy, sz[o + 1] = -dz;
    }
    return energy;
}

// Sets s.force [3, n] from s.at; with ENERGY returns this thread's share of the energy.
template <bool ENERGY>
__device__ float forces(const Molecule &m, const Shared &s, int slots, int groups, float prefactor, float surface) {
    const int n = m.n, t = thread_index(), threads = thread_count(), stride = n + 1;
    float energy = bonded_terms(m, s.at, s.slope, slots, t, threads);
    barrier();
    for (int w = t; w < 3 * n; w += threads) {
        const int j = w % n, last = m.slot_first[j + 1];
        const float *component = s.slope + w / n * slots;
        float f = 0;
        for (int k = m.slot_first[j]; k < last; ++k) f += component[m.slot[k]];
        s.bonded[w] = f;
    }
    barrier();
    const float *X = s.at, *Y = s.at + n, *Z = s.at + 2 * n;
    // Twice the Born integrals of atoms j, by all atoms i.
    for (int w = t; w < groups * n; w += threads) {
        const int j = w % n, group = w / n;
        const float xj = X[j], yj = Y[j], zj = Z[j], offset = s.offset_radius[j], reach = s.radius[j] + NECK_REACH;
        const float *depth = s.neck_depth + m.kinds * s.kind[j], *distance = s.neck_distance + m.kinds * s.kind[j];
        float integral = 0;
        for (int i = group; i < n; i += groups) {
            float d = 0;
            if (i != j) {
                const float dx = xj - X[i], dy = yj - Y[i], dz = zj - Z[i];
                const float r2 = fmaxf(dx * dx + dy * dy + dz * dz, NEAREST), rinv = rsqrtf(r2), r = r2 * rinv;
                const float screened = s.screened[i], upper = r + screened;
                const float lower = fmaxf(fabsf(r - screened), offset);
                if (offset < upper) {
                    const float l = 1.0f / lower, u = 1.0f / upper, l2 = l * l, u2 = u * u;
                    const float logarithm = 0.5f * fast_log(lower * u) * rinv, ratio = screened * screened * rinv;
                    integral += l - u + 0.25f * (r - ratio) * (u2 - l2) + logarithm;
                    d = (0.25f * (1.0f + ratio * rinv) * (u2 - l2) - logarithm * rinv) * rinv;
                }
                if (r < reach + s.radius[i]) {
                    const float away = r - distance[s.kind[i]], t2 = away * away;
                    const float share = 1.0f / (1.0f + t2 * (100.0f + 3e5f * t2 * t2));
                    const float value = 2.0f * NECK_SCALE * depth[s.kind[i]] * share;
                    integral += value;
                    d -= value * share * away * (200.0f + 1.8e6f * t2 * t2) * rinv;
                }
            }
            s.slope[i * stride + j] = d;
        }
        s.partial[group * 4 * n + j] = integral;
    }
    barrier();
    for (int j = t; j < n; j += threads) {
        float integral = 0;
        for (int group = 0; group < groups; ++group) integral += s.partial[group * 4 * n + j];
        const float offset = s.offset_radius[j], radius = s.radius[j], alpha = m.alpha[j], beta = m.beta[j], gamma = m.gamma[j];
        const float half = 0.5f * offset, psi = half * integral, argument = psi * (alpha - psi * (beta - psi * gamma));
        const float e = expf(-2.0f * fabsf(argument));
        const float tangent = copysignf((1.0f - e) / (1.0f + e), argument);
        const float b = 1.0f / (1.0f / offset - tangent / radius);
        s.born[j] = b, s.inverse_born[j] = 1.0f / b;
        s.chain[j] = b * b * (1.0f - tangent * tangent) / radius * (alpha - psi * (2.0f * beta - 3.0f * gamma * psi)) * half;
        const float ratio = radius / b, r3 = ratio * ratio * ratio, q = s.charge[j];
        const float polar = 0.5f * prefactor * q * q / b, apolar = surface * square(radius + 0.14f) * r3 * r3;
        s.g[j] = -(6.0f * apolar + polar) / b;
        if (ENERGY) energy += polar + apolar;
    }
    barrier();
    // All pairs, each from both sides. Excluded ones have the solvent term only.
    for (int w = t; w < groups * n; w += threads) {
        const int j = w % n, group = w / n;
        const float xj = X[j], yj = Y[j], zj = Z[j], bj = s.born[j], vj = 0.25f * s.inverse_born[j];
        const float qj = s.charge[j], hj = s.half_sigma[j], ej = 4.0f * s.root_epsilon[j];
        const u32 e0 = u32(m.excluded[j]), e1 = u32(m.excluded[n + j]), e2 = u32(m.excluded[2 * n + j]), e3 = u32(m.excluded[3 * n + j]);
        float fx = 0, fy = 0, fz = 0, fb = 0;
        for (int i = group; i < n; i += groups) {
            if (i == j) continue;
            const u32 word = i < 64 ? (i < 32 ? e0 : e1) : (i < 96 ? e2 : e3);
            const float present = (word >> (i & 31)) & 1u ? 0.0f : 1.0f;
            const float dx = xj - X[i], dy = yj - Y[i], dz = zj - Z[i];
            const float r2 = fmaxf(dx * dx + dy * dy + dz * dz, NEAREST);
            const float w2 = r2 * (vj * s.inverse_born[i]), ex = fast_exp(-w2);
            const float rinv = rsqrtf(r2), r2inv = rinv * rinv, finv = rsqrtf(r2 + bj * s.born[i] * ex);
            const float qq = qj * s.charge[i], coulomb = present * COULOMB * qq * rinv;
            const float sigma2 = square(hj + s.half_sigma[i]) * r2inv, s6 = sigma2 * sigma2 * sigma2;
            const float c6 = present * ej * s.root_epsilon[i] * s6, c12 = c6 * s6;
            const float gb = prefactor * qq * finv, gf = gb * finv * finv;
            if (ENERGY) energy += 0.5f * (coulomb + c12 - c6 + gb);
            const float de = (coulomb + 12.0f * c12 - 6.0f * c6) * r2inv + gf * (1.0f - 0.25f * ex);
            fx += de * dx, fy += de * dy, fz += de * dz;
            fb -= 0.5f * gf * ex * (1.0f + w2) * s.born[i];
        }
        float *part = s.partial + group * 4 * n + j;
        part[0] = fx, part[n] = fy, part[2 * n] = fz, part[3 * n] = fb;
    }
    barrier();
    for (int j = t; j < n; j += threads) {
        float fx = s.bonded[j], fy = s.bonded[n + j], fz = s.bonded[2 * n + j], fb = 0;
        for (int group = 0; group < groups; ++group) {
            const float *part = s.partial + group * 4 * n + j;
            fx += part[0], fy += part[n], fz += part[2 * n], fb += part[3 * n];
        }
        for (int k = m.pair_first[j]; k < m.pair_first[j + 1]; ++k) {
            const int i = m.pair_other[k];
            const float dx = X[j] - X[i], dy = Y[j] - Y[i], dz = Z[j] - Z[i];
            const float r2inv = 1.0f / (dx * dx + dy * dy + dz * dz), r6inv = r2inv * r2inv * r2inv;
            const float coulomb = m.pair_own[3 * k] * sqrtf(r2inv);
            const float c12 = m.pair_own[3 * k + 1] * r6inv * r6inv, c6 = m.pair_own[3 * k + 2] * r6inv;
            if (ENERGY) energy += 0.5f * (coulomb + c12 - c6);
            const float de = (coulomb + 12.0f * c12 - 6.0f * c6) * r2inv;
            fx += de * dx, fy += de * dy, fz += de * dz;
        }
        s.force[j] = fx, s.force[n + j] = fy, s.force[2 * n + j] = fz;
        s.g[j] = (s.g[j] + fb) * s.chain[j];
    }
    barrier();
    // Forces through the Born radii.
    for (int w = t; w < groups * n; w += threads) {
        const int j = w % n, group = w / n;
        const float xj = X[j], yj = Y[j], zj = Z[j], gj = s.g[j];
        float fx = 0, fy = 0, fz = 0;
        for (int i = group; i < n; i += groups) {
            if (i == j) continue;
            const float de = gj * s.slope[i * stride + j] + s.g[i] * s.slope[j * stride + i];
            fx -= de * (xj - X[i]), fy -= de * (yj - Y[i]), fz -= de * (zj - Z[i]);
        }
        float *part = s.partial + group * 4 * n + j;
        part[0] = fx, part[n] = fy, part[2 * n] = fz;
    }
    barrier();
    for (int j = t; j < n; j += threads) {
        float fx = s.force[j], fy = s.force[n + j], fz = s.force[2 * n + j];
        for (int group = 0; group < groups; ++group) {
            const float *part = s.partial + group * 4 * n + j;
            fx += part[0], fy += part[n], fz += part[2 * n];
        }
        s.force[j] = fx, s.force[n + j] = fy, s.force[2 * n + j] = fz;
    }
    barrier();
    return energy;
}

__device__ __forceinline__ u64 mixed(u64 w) {
    w = (w ^ (w >> 30)) * 0xBF58476D1CE4E5B9ull;
    w = (w ^ (w >> 27)) * 0x94D049BB133111EBull;
    return w ^ (w >> 31);
}

// Three normal numbers: the generator splitmix64 at a place of its own for every seed, step and atom; Box and Muller.
__device__ __forceinline__ void normals(u64 seed, u64 step, int atom, float out[3]) {
    const u64 counter = seed + (step * 256 + u64(2 * atom)) * 0x9E3779B97F4A7C15ull;
    const u64 a = mixed(counter), b = mixed(counter + 0x9E3779B97F4A7C15ull);
    const float unit = 2.3283064365386963e-10f;  // 2^-32
    const float r1 = sqrtf(-2.0f * logf((float(u32(a)) + 1.0f) * unit)), r2 = sqrtf(-2.0f * logf((float(u32(b)) + 1.0f) * unit));
    float s1, c1, s2, c2;
    sincospif(2.0f * (float(u32(a >> 32)) * unit), &s1, &c1);
    sincospif(2.0f * (float(u32(b >> 32)) * unit), &s2, &c2);
    out[0] = r1 * c1, out[1] = r1 * s1, out[2] = r2 * c2;
}

// How far to go along the bonds d [3, 3] of a heavy atom to its hydrogens so that rows . change is right.
__device__ __forceinline__ void solve(int hydrogens, float heavy, float light, const float d[3][3], const float rows[3][3], const float right[3],
                                      float e[3]) {
    float a[3][3], r[3];
#pragma unroll
    for (int p = 0; p < 3; ++p) {
        r[p] = p < hydrogens ? right[p] : 0.0f;
#pragma unroll
        for (int q = 0; q < 3; ++q) {
            const float dot = rows[p][0] * d[q][0] + rows[p][1] * d[q][1] + rows[p][2] * d[q][2];
            a[p][q] = p < hydrogens && q < hydrogens ? (p == q ? heavy + light : heavy) * dot : (p == q ? 1.0f : 0.0f);
        }
    }
    const float p0 = a[1][1] * a[2][2] - a[1][2] * a[2][1], p1 = a[1][2] * a[2][0] - a[1][0] * a[2][2], p2 = a[1][0] * a[2][1] - a[1][1] * a[2][0];
    const float inverse = 1.0f / (a[0][0] * p0 + a[0][1] * p1 + a[0][2] * p2);
    e[0] = (p0 * r[0] + (a[0][2] * a[2][1] - a[0][1] * a[2][2]) * r[1] + (a[0][1] * a[1][2] - a[0][2] * a[1][1]) * r[2]) * inverse;
    e[1] = (p1 * r[0] + (a[0][0] * a[2][2] - a[0][2] * a[2][0]) * r[1] + (a[0][2] * a[1][0] - a[0][0] * a[1][2]) * r[2]) * inverse;
    e[2] = (p2 * r[0] + (a[0][1] * a[2][0] - a[0][0] * a[2][1]) * r[1] + (a[0][0] * a[1][1] - a[0][1] * a[1][0]) * r[2]) * inverse;
}

// Adds the move of a heavy atom and its hydrogens along their bonds to change [4, 3].
__device__ __forceinline__ void push(float heavy, float light, const float d[3][3], const float e[3], float change[4][3]) {
#pragma unroll
    for (int q = 0; q < 3; ++q)
#pragma unroll
        for (int c = 0; c < 3; ++c) {
            const float move = e[q] * d[q][c];
            change[0][c] += heavy * move;
            change[q + 1][c] -= light * move;
        }
}

// The kick of an atom, and its random numbers (nm/ps), which the thread of its heavy atom adds.
__device__ __forceinline__ void kick(const Shared &s, int n, int k, u64 seed, u64 step, double dt, float noise) {
    const float inverse = s.inverse_mass[k], width = noise * sqrtf(inverse);
    float gauss[3];
    normals(seed, step, k, gauss);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
        s.v[c * n + k] += dt * double(inverse * s.force[c * n + k]);
        s.partial[c * n + k] = width * gauss[c];
    }
}

// One step of a heavy atom and its hydrogens. What is solved is of single precision, what is left to solve of double.
__device__ void move_cluster(const Shared &s, int n, int k, double dt, double damping) {
    const int *members = s.cluster + 4 * k;
    const double *length = s.length + 3 * k;
    const int hydrogens = length[2] > 0 ? 3 : length[1] > 0 ? 2 : length[0] > 0 ? 1 : 0;
    const float heavy = s.inverse_mass[members[0]], light = s.inverse_mass[members[1]];
    double x[4][3];
    float d[3][3], right[3], e[3], change[4][3] = {};
#pragma unroll
    for (int a = 0; a < 4; ++a)
#pragma unroll
        for (int c = 0; c < 3; ++c) x[a][c] = s.x[c * n + members[a]];
    if (hydrogens) {
#pragma unroll
        for (int q = 0; q < 3; ++q) {
            right[q] = 0;
#pragma unroll
            for (int c = 0; c < 3; ++c) {
                d[q][c] = float(x[0][c] - x[q + 1][c]);
                right[q] -= d[q][c] * float(s.v[c * n + members[0]] - s.v[c * n + members[q + 1]]);
            }
        }
        solve(hydrogens, heavy, light, d, d, right, e);
        push(heavy, light, d, e, change);
    }
#pragma unroll
    for (int a = 0; a < 4; ++a)
        if (a <= hydrogens)
#pragma unroll
            for (int c = 0; c < 3; ++c) {
                const int at = c * n + members[a];
                const double before = s.v[at] + double(change[a][c]), after = damping * before + double(s.partial[at]);
                s.v[at] = after;
                x[a][c] += 0.5 * dt * (before + after);
                change[a][c] = 0;
            }
    if (hydrogens)
        for (int iteration = 0; iteration < 3; ++iteration) {
            float rows[3][3];
#pragma unroll
            for (int q = 0; q < 3; ++q) {
                double left = length[q] * length[q];
#pragma unroll
                for (int c = 0; c < 3; ++c) {
                    const double row = x[0][c] - x[q + 1][c] + double(change[0][c] - change[q + 1][c]);
                    left -= row * row;
                    rows[q][c] = float(row);
                }
                right[q] = float(0.5 * left);
            }
            solve(hydrogens, heavy, light, d, rows, right, e);
            push(heavy, light, d, e, change);
        }
    const double rate = 1.0 / dt;
#pragma unroll
    for (int a = 0; a < 4; ++a)
        if (a <= hydrogens)
#pragma unroll
            for (int c = 0; c < 3; ++c) {
                const int at = c * n + members[a];
                const double place = x[a][c] + double(change[a][c]);
                s.x[at] = place;
                s.v[at] += rate * double(change[a][c]);
                s.at[at] = float(place);
            }
}

// Puts the mean position to the origin.
__device__ void centre(const Molecule &m, const Shared &s) {
    const int n = m.n;
    if (thread_index() < 3 && thread_count() >= 3 || thread_index() == 0)
        for (int c = thread_index(); c < 3; c += thread_count() < 3 ? 1 : 3) {
            double mean = 0;
            for (int k = 0; k < n; ++k) mean += s.x[c * n + k];
            mean /= n;
            for (int k = 0; k < n; ++k) {
                s.x[c * n + k] -= mean;
                s.at[c * n + k] = float(s.x[c * n + k]);
            }
        }
    barrier();
}

// Every block goes on by `frames` times `interval` steps from state [2, 3, n] (nm, nm/ps), whose place is state_first.
// positions: heavy atoms [frames, heavy, 3] in nm, from position_first on; energies [blocks, frames, 2]: potential and
// kinetic energy in kJ/mol. With interval 0 only the energy and the forces [3, n] (into the state's velocities) of
// where the atoms are.
#ifndef HOST
extern "C"
#else
static
#endif
__global__ void BOUNDS advance(const int *__restrict__ counts, const int *__restrict__ ints, const float *__restrict__ floats,
                               const double *__restrict__ doubles, const int *__restrict__ molecules, const u64 *__restrict__ seeds,
                               const long long *__restrict__ state_first, double *__restrict__ state,
                               const long long *__restrict__ position_first, float *__restrict__ positions,
                               float *__restrict__ energies, int frames, int interval, long long first_step, double dt,
                               double damping, const double *__restrict__ noises, float prefactor, float surface) {
    SHARED_ARRAY;
    const int block = block_index, *own = counts + COUNTS * molecules[block], slots = own[SLOTS];
    const Molecule m = molecule_at(own, ints, floats, doubles);
    const int n = m.n, t = thread_index(), threads = thread_count();
    const int groups = threads < n ? 1 : threads / n;
    const Shared s = carve(shared_memory, m, groups);
    double *mine = state + state_first[block];
    const float noise = float(noises[block]);
    const u64 seed = seeds[block];
    for (int k = t; k < 3 * n; k += threads) s.x[k] = mine[k], s.v[k] = mine[3 * n + k], s.at[k] = float(mine[k]);
    for (int k = t; k < n; k += threads) {
        s.charge[k] = m.charge[k], s.half_sigma[k] = m.half_sigma[k], s.root_epsilon[k] = m.root_epsilon[k];
        s.offset_radius[k] = m.offset_radius[k], s.radius[k] = m.radius[k], s.screened[k] = m.screened[k];
        s.kind[k] = m.kind[k], s.inverse_mass[k] = float(m.inverse_mass[k]);
    }
    for (int k = t; k < m.kinds * m.kinds; k += threads) s.neck_depth[k] = m.neck_depth[k], s.neck_distance[k] = m.neck_distance[k];
    for (int k = t; k < 4 * m.clusters; k += threads) s.cluster[k] = m.cluster[k];
    for (int k = t; k < 3 * m.clusters; k += threads) s.length[k] = m.length[k];
    barrier();
    for (int frame = 0; frame < frames; ++frame) {
        for (int step = 0; step < interval; ++step) {
            if (step % 256 == 0) centre(m, s);
            forces<false>(m, s, slots, groups, prefactor, surface);
            const u64 number = u64(first_step) + u64(frame) * u64(interval) + u64(step);
            for (int k = t; k < n; k += threads) kick(s, n, k, seed, number, dt, noise);
            barrier();
            for (int k = t; k < m.clusters; k += threads) move_cluster(s, n, k, dt, damping);
            barrier();
        }
        centre(m, s);
        float energy = forces<true>(m, s, slots, groups, prefactor, surface);
        float kinetic = 0;
        for (int k = t; k < n; k += threads)
            kinetic += float(0.5 / m.inverse_mass[k] * (s.v[k] * s.v[k] + s.v[n + k] * s.v[n + k] + s.v[2 * n + k] * s.v[2 * n + k]));
        // The terms of all threads, in their order.
        float *terms = s.slope;
        terms[2 * t] = energy, terms[2 * t + 1] = kinetic;
        barrier();
        if (t == 0) {
            double sum[2] = {0, 0};
            for (int k = 0; k < threads; ++k) sum[0] += terms[2 * k], sum[1] += terms[2 * k + 1];
            energies[2 * (long long)(block) * frames + 2 * frame] = float(sum[0]);
            energies[2 * (long long)(block) * frames + 2 * frame + 1] = float(sum[1]);
        }
        float *to = positions + position_first[block] + (long long)(frame) * 3 * m.heavy_count;
        for (int k = t; k < m.heavy_count; k += threads)
            for (int c = 0; c < 3; ++c) to[3 * k + c] = float(s.x[c * n + m.heavy[k]]);
        barrier();
    }
    for (int k = t; k < 3 * n; k += threads) mine[k] = s.x[k], mine[3 * n + k] = interval ? s.v[k] : double(s.force[k]);
}

#ifdef HOST
extern "C" void advance_all(int blocks, const int *counts, const int *ints, const float *floats, const double *doubles,
                            const int *molecules, const u64 *seeds, const long long *state_first, double *state,
                            const long long *position_first, float *positions, float *energies, int frames, int interval,
                            long long first_step, double dt, double damping, const double *noises, float prefactor, float surface) {
    for (block_index = 0; block_index < blocks; ++block_index)
        advance(counts, ints, floats, doubles, molecules, seeds, state_first, state, position_first, positions, energies,
                frames, interval, first_step, dt, damping, noises, prefactor, surface);
}
#endif
