export default { company: { name: 'Brightside' } }
