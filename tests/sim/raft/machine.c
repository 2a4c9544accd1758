#include "tests/sim/raft/machine.h"

#include <string.h>

uint64_t sim_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
}

uint64_t sim_mix_bytes(uint64_t hash, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        size_t left = bytes.size - i;
        memcpy(&word, bytes.data + i, left < sizeof(word) ? left : sizeof(word));
        hash = sim_mix(hash, word);
    }
    return sim_mix(hash, bytes.size);
}

void sim_machine_hash(struct bytes state, uint8_t ret[RAFT_HASH_BYTES])
{
    uint64_t words[RAFT_HASH_BYTES / sizeof(uint64_t)];
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        words[i] = sim_mix_bytes(i, state);
    memcpy(ret, words, sizeof(words));
}

bool sim_machine_apply(struct sim_machine *machine, struct bytes data, struct sim_command *ret)
{
    struct sim_command command;
    if (data.size < sizeof(command))
        return false;
    memcpy(&command, data.data, sizeof(command));
    struct sim_session *session = &machine->sessions[command.client];
    uint64_t *value = &machine->registers[command.object];
    if (command.sequence < session->sequence)
        return false;
    if (command.sequence > session->sequence) {
        bool does = command.type == LINEAR_WRITE || *value == command.expected;
        if (does)
            *value = command.value;
        *session = (struct sim_session){command.sequence, does};
    }
    *ret = command;
    return true;
}
