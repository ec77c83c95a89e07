"""What goes wrong on command.

verbs      the closed list, by topic in `verbs_connection`, `verbs_link`, `verbs_orders`
state      `Faults`: what is in force, and the questions that everybody asks before doing anything
acts       what a verb does at once, and what happens when its time is over
wire       what is wrong with one connection's bytes; `line` holds them back
"""
