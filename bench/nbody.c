// Doubles: five bodies under gravity, with a square root and divisions for each pair in each step.
#include "bench.h"

enum { BODIES = 5 };
static struct body { double mass, at[3], moving[3]; } bodies[BODIES];

// The instruction itself: the compiler's own function would call a library for negative numbers.
static double root(double x)
{
    asm("fsqrt.d %0, %0" : "+f"(x));
    return x;
}

static double energy(void)
{
    double e = 0;
    for (int i = 0; i < BODIES; i++) {
        struct body *p = &bodies[i];
        for (int x = 0; x < 3; x++)
            e += 0.5 * p->mass * p->moving[x] * p->moving[x];
        for (int j = i + 1; j < BODIES; j++) {
            double square = 0;
            for (int x = 0; x < 3; x++)
                square += (p->at[x] - bodies[j].at[x]) * (p->at[x] - bodies[j].at[x]);
            e -= p->mass * bodies[j].mass / root(square);
        }
    }
    return e;
}

static void step(double dt)
{
    for (int i = 0; i < BODIES; i++)
        for (int j = i + 1; j < BODIES; j++) {
            struct body *p = &bodies[i], *q = &bodies[j];
            double apart[3], square = 0.01;     // softened, so that near misses stay finite
            for (int x = 0; x < 3; x++) {
                apart[x] = p->at[x] - q->at[x];
                square += apart[x] * apart[x];
            }
            double pull = dt / (square * root(square));
            for (int x = 0; x < 3; x++) {
                p->moving[x] -= apart[x] * q->mass * pull;
                q->moving[x] += apart[x] * p->mass * pull;
            }
        }
    for (int i = 0; i < BODIES; i++)
        for (int x = 0; x < 3; x++)
            bodies[i].at[x] += dt * bodies[i].moving[x];
}

int main(int argc, char **argv)
{
    for (int i = 0; i < BODIES; i++) {
        bodies[i].mass = i ? 0.05 / i : 10;
        for (int x = 0; x < 3; x++) {
            bodies[i].at[x] = i * (x + 1) % 4 + 0.25 * i;
            bodies[i].moving[x] = i ? (x - 1) * 1.25 : 0;
        }
    }
    for (u64 n = rounds(argc, argv) * 1000; n > 0; n--)
        step(0.001);
    return report("nbody", bits(energy()));
}
