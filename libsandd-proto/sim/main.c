// SPDX-License-Identifier: MIT
/* The simulator of two endpoints over bad connections: sandd-sim --cuts N --seed S. Its last line is the verdict. */
#include "../src/rules.h"
#include "world.h"

#include <getopt.h>
#include <sandd/proto/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
  uint64_t cuts, per, seed, rules_off;
  bool keep_going, trace, quiet;
} options;

static const struct {
  const char *name, *text;
} rules[] = {
#define X(name, text) {#name, text},
    SANDD_RULES(X)
#undef X
};

static int usage(FILE *out) {
  fputs(
      "usage: sandd-sim [--cuts N] [--seed S] [--per K] [--rule-off NAME] [--keep-going] [--trace] [--quiet] | --list\n"
      "  --cuts N         disconnections in all [10000]\n"
      "  --seed S         seed of the first world; the next ones count up [1]\n"
      "  --per K          disconnections of one world [50]\n"
      "  --rule-off NAME  turn a rule off (sandd-sim-faulty alone)\n"
      "  --list           the rules that can be turned off\n"
      "  --keep-going     go on after a failure, and count\n"
      "  --trace          print every packet\n"
      "  --quiet          print the verdict alone\n",
      out);
  return out == stdout ? 0 : 2;
}

static bool number(const char *text, uint64_t *out) {
  char *end;
  *out = strtoull(text, &end, 10);
  return *text && !*end;
}

static bool rule_off(const char *name, uint64_t *bits) {
  for (size_t i = 0; i < COUNT(rules); i++)
    if (!strcmp(rules[i].name, name)) {
      *bits |= 1ull << i;
      return true;
    }
  return false;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, options *o) {
  static const struct option longs[] = {
      {"cuts", 1, NULL, 'n'}, {"seed", 1, NULL, 's'},  {"per", 1, NULL, 'p'},   {"rule-off", 1, NULL, 'r'},
      {"list", 0, NULL, 'l'}, {"trace", 0, NULL, 't'}, {"quiet", 0, NULL, 'q'}, {"keep-going", 0, NULL, 'k'},
      {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
  int c;
  while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
    bool ok = true;
    switch (c) {
    case 'n': ok = number(optarg, &o->cuts) && o->cuts; break;
    case 's': ok = number(optarg, &o->seed); break;
    case 'p': ok = number(optarg, &o->per) && o->per; break;
    case 'r': ok = rule_off(optarg, &o->rules_off); break;
    case 'k': o->keep_going = true; break;
    case 't': o->trace = true; break;
    case 'q': o->quiet = true; break;
    case 'l':
      for (size_t i = 0; i < COUNT(rules); i++)
        printf("%s\t%s\n", rules[i].name, rules[i].text);
      return 0;
    case 'h': return usage(stdout);
    default: ok = false;
    }
    if (!ok)
      return usage(stderr);
  }
#ifndef SANDD_RULE_SWITCHES
  if (o->rules_off) {
    fputs("sandd-sim: this is the product's own library, whose rules can't be turned off: use sandd-sim-faulty\n",
          stderr);
    return 2;
  }
#endif
  return optind == argc ? -1 : usage(stderr);
}

static void add(stats *sum, const stats *one) {
  const uint64_t *from = (const uint64_t *)one;
  uint64_t *to = (uint64_t *)sum, most = sum->most_memory > one->most_memory ? sum->most_memory : one->most_memory;
  for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
    to[i] += from[i];
  sum->most_memory = most;
}

#define U(value) ((unsigned long long)(value))

static void report(const stats *s) {
  printf("cuts: %llu both ends see it, %llu the daemon, %llu the server, %llu neither, %llu up only, %llu down only\n",
         U(s->cuts[0]), U(s->cuts[1]), U(s->cuts[2]), U(s->cuts[3]), U(s->cuts[4]), U(s->cuts[5]));
  printf("connections %llu, sessions begun %llu, resumed %llu, lost %llu (counted at both ends)\n", U(s->connections),
         U(s->sessions), U(s->resumed), U(s->lost));
  printf("server restarts %llu, daemon restarts %llu, naps %llu, sleeps %llu, goodbyes %llu, clones refused %llu\n",
         U(s->server_restarts), U(s->daemon_restarts), U(s->naps), U(s->sleeps), U(s->goodbyes), U(s->clones_refused));
  printf("packets %llu with %llu control frames, %llu windows, %llu data, %llu skips\n", U(s->packets), U(s->control),
         U(s->windows), U(s->data), U(s->skips));
  printf("execs %llu, readers attached %llu, detached %llu, taken over %llu; output %llu bytes, skipped %llu, stdin "
         "%llu\n",
         U(s->jobs), U(s->attached), U(s->detached), U(s->taken_over), U(s->output_bytes), U(s->skipped),
         U(s->stdin_bytes));
  printf("tunnels %llu with %llu bytes; resets %llu; ends", U(s->tunnels), U(s->tunnel_bytes), U(s->resets));
  for (int i = 0; i < 64; i++)
    if (s->ended[i])
      printf(" %s %llu", sandd_status_name(i), U(s->ended[i]));
  printf("\nmost memory of one endpoint %llu bytes; %llu s of fake time in %llu steps\n", U(s->most_memory),
         U(s->fake_seconds), U(s->steps));
}

int main(int argc, char **argv) {
  options o = {.cuts = 10000, .per = 50, .seed = 1};
  static world w;
  stats sum = {0};
  int code = parse(argc, argv, &o);
  if (code >= 0)
    return code;
  uint64_t done = 0, seed = o.seed, bad = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (done < o.cuts) {
    uint64_t cuts = SMALLER(o.per, o.cuts - done);
    world_run(&w, seed, cuts, o.rules_off, o.trace);
    add(&sum, &w.stats);
    if (w.failed) {
      bad++;
      printf("FAIL seed=%llu after %llu cuts, at %llu ms: %s\n", U(seed), U(w.cuts), U(w.now / 1000), w.failure);
      if (!o.keep_going)
        return 1;
    }
    done += cuts;
    seed++;
  }
  if (!o.quiet)
    report(&sum);
  if (bad)
    printf("FAIL %llu of %llu worlds, seeds %llu to %llu\n", U(bad), U(seed - o.seed), U(o.seed), U(seed - 1));
  else
    printf("PASS %llu disconnections in %llu worlds, seeds %llu to %llu\n", U(done), U(seed - o.seed), U(o.seed),
           U(seed - 1));
  return bad ? 1 : 0;
}
